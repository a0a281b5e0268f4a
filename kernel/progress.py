# SPDX-License-Identifier: GPL-2.0-or-later
"""How long steps tell how far they are, without knowing who listens."""

from __future__ import annotations

import sys
from typing import Protocol


class Progress(Protocol):
    """One step at a time: ``start``, any number of ``update``, then ``done``, also after an error.

    Units are the step's own (percent of a download, object files of a build); ``total`` is None
    where the size is not known. ``done`` may be below or above ``total``: it is an estimate.
    """

    def start(self, title: str, total: int | None) -> None:
        ...

    def update(self, done: int, text: str = "") -> None:
        ...

    def done(self) -> None:
        ...

    def note(self, text: str) -> None:
        """A line worth reading that is not progress: what came from the cache, a warning."""


class Silent:
    """Tells nobody."""

    def start(self, title: str, total: int | None) -> None:
        pass

    def update(self, done: int, text: str = "") -> None:
        pass

    def done(self) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines:
    """A line at the start of each step, on stderr: for logs and for use without the harness."""

    def start(self, title: str, total: int | None) -> None:
        print(title, file=sys.stderr, flush=True)

    def update(self, done: int, text: str = "") -> None:
        pass

    def done(self) -> None:
        pass

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
