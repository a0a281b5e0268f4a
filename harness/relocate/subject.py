# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel whose relocate_kernel is checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jumpback_relocate

import kernel
from harness.errors import UsageError
from kernel.progress import Progress
from kernel.selection import is_path


@dataclass(frozen=True)
class Subject:
    """``catalogued``: a version as shipped, so its known defects are written up and must show."""

    name: str  # as the user would type it again
    vmlinux: Path
    arch: str
    catalogued: bool
    target: jumpback_relocate.Target


def find(spec: str, arch: str, progress: Progress | None = None) -> Subject:
    """A vmlinux, a folder with one, or a kernel of the catalogue, which is built if need be.

    Raises UsageError where there is no such file, or none that can be checked, and KernelError.
    """
    path = Path(spec).expanduser()
    if path.is_file():
        return _opened(spec, path, catalogued=False)
    if is_path(spec):
        if not path.is_dir():
            raise UsageError(f"{spec}: there is no such file or folder")
        if not (path / "vmlinux").is_file():
            raise UsageError(f"{path}: has no vmlinux; a kernel's build tree was expected")
        return _opened(spec, path / "vmlinux", catalogued=False)
    found = kernel.resolve(spec, arch, progress=progress)
    return _opened(found.name, found.vmlinux, catalogued=not found.variant)


def _opened(name: str, vmlinux: Path, *, catalogued: bool) -> Subject:
    try:
        target = jumpback_relocate.Target.open(vmlinux)
    except jumpback_relocate.RelocateError as error:
        raise UsageError(str(error)) from error
    return Subject(name, vmlinux, target.arch, catalogued, target)
