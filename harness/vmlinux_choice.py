# SPDX-License-Identifier: GPL-2.0-or-later
"""The vmlinux that a check without a boot is asked for: a file, a build tree, or a kernel of the
catalogue."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kernel
from harness.errors import BuildError, UsageError
from harness.verdict import ExitStyle
from kernel.progress import Progress
from kernel.selection import is_path


@dataclass(frozen=True)
class Choice:
    """``catalogued``: of the catalogue, so its known defects are written up and must show,
    but for those in ``fixed``, pages of docs/findings that its patches mend: they must not."""

    name: str  # as the user would type it again
    vmlinux: Path
    catalogued: bool
    fixed: frozenset[str] = frozenset()


def choose(spec: str, arch: str, progress: Progress | None = None) -> Choice:
    """A kernel of the catalogue is built if need be; ``arch`` is of these only.

    Raises UsageError where there is no such file, and KernelError.
    """
    path = Path(spec).expanduser()
    if path.is_file():
        return Choice(spec, path, False)
    if is_path(spec):
        if not path.is_dir():
            raise UsageError(f"{spec}: there is no such file or folder")
        if not (path / "vmlinux").is_file():
            raise UsageError(f"{path}: has no vmlinux; a kernel's build tree was expected")
        return Choice(spec, path / "vmlinux", False)
    found = kernel.resolve(spec, arch, progress=progress)
    return Choice(found.name, found.vmlinux, not found.variant, found.fixed)


@contextlib.contextmanager
def unfit_for(style: ExitStyle) -> Iterator[None]:
    """A vmlinux that cannot be checked says nothing of its commit: git would take a 2 for "bad"."""
    try:
        yield
    except UsageError as error:
        if style is ExitStyle.BISECT:
            raise BuildError(str(error)) from error
        raise
