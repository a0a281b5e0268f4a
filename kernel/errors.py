# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong before there is a kernel to run.

    KernelError
    ├── CatalogueError    a row of catalogue.toml or a selector is wrong
    ├── PackageError      a Debian package could not be had: mirror, signature, suite
    ├── PatchError        a patch of the series does not apply
    ├── ConfigError       an option of a fragment did not survive olddefconfig
    ├── KernelBuildError  make failed; carries the end of its log
    └── UserKernelError   the user's own kernel lacks something; names what to set

``str()`` is a text for the user: the place, what was expected, what to do.
"""

from __future__ import annotations

from pathlib import Path


class KernelError(Exception):
    """Base class."""


class CatalogueError(KernelError):
    pass


class PackageError(KernelError):
    pass


class PatchError(KernelError):
    pass


class ConfigError(KernelError):
    pass


class KernelBuildError(KernelError):
    """``log``: the whole build log, kept in the cache. ``tail``: its last lines."""

    def __init__(self, message: str, log: Path, tail: list[str]) -> None:
        shown = "\n".join(f"    {line}" for line in tail)
        super().__init__(f"{message}\nThe end of {log}:\n{shown}")
        self.log = log
        self.tail = tail


class UserKernelError(KernelError):
    """``problems``: one line for each thing that is missing or wrong."""

    def __init__(self, message: str, problems: list[str] | None = None) -> None:
        self.problems = problems or []
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))
