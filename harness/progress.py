# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person sees on stderr while long work goes on.

On a terminal: one live line with a spinner, the elapsed time and, where a total is known, a bar.
Elsewhere (CI logs): a plain line when a step starts and ends, none in between. stdout is never
touched: it belongs to results.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress as RichProgress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Progress:
    """One step at a time: ``start``, any number of ``update``, ``done``. Implements
    kernel.progress.Progress, so kernel/ needs to know nothing of rich."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._live: RichProgress | None = None
        self._task: TaskID | None = None
        self._title = ""
        self._began = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_live()

    def start(self, title: str, total: int | None = None) -> None:
        """Begins a step; a step still open is closed."""
        if self._task is not None or self._title:
            self.done()
        self._title, self._began = title, time.monotonic()
        if self._quiet:
            return
        if not self._console.is_terminal:
            print(f"    {title} …", file=sys.stderr, flush=True)
            return
        self._live = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task(title, total=total, note="")

    def update(self, done: int | None = None, text: str = "", total: int | None = None) -> None:
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done, total=total, note=text[:60])

    def done(self, text: str = "") -> None:
        """Ends the step and leaves one line of it: title, note, seconds."""
        if not self._title:
            return
        self._stop_live()
        seconds = time.monotonic() - self._began
        if not self._quiet:
            note = f" ({text})" if text else ""
            print(f"    {self._title}{note}: {seconds:.1f} s", file=sys.stderr, flush=True)
        self._title = ""

    def note(self, text: str) -> None:
        """One line, above the live line if there is one."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live, self._task = None, None
