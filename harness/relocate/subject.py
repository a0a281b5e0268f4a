# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel whose relocate_kernel is checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jumpback_relocate

from harness.errors import UsageError
from harness.vmlinux_choice import choose
from kernel.progress import Progress


@dataclass(frozen=True)
class Subject:
    """``catalogued`` and ``fixed`` as in harness.vmlinux_choice.Choice."""

    name: str  # as the user would type it again
    vmlinux: Path
    arch: str
    catalogued: bool
    target: jumpback_relocate.Target
    fixed: frozenset[str] = frozenset()


def find(spec: str, arch: str, progress: Progress | None = None) -> Subject:
    """A vmlinux, a folder with one, or a kernel of the catalogue, which is built if need be.

    Raises UsageError where there is no such file, or none that can be checked, and KernelError.
    """
    choice = choose(spec, arch, progress)
    try:
        target = jumpback_relocate.Target.open(choice.vmlinux)
    except jumpback_relocate.RelocateError as error:
        raise UsageError(str(error)) from error
    return Subject(
        choice.name, choice.vmlinux, target.arch, choice.catalogued, target, choice.fixed
    )
