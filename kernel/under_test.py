# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel under test, as everyone else sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kernel.errors import KernelError

META = "meta.json"


@dataclass(frozen=True)
class KernelUnderTest:
    """One built kernel: its files and what is known about them."""

    name: str  # "6.1", "6.1-stock", "7.2+gdt-not-restored", or the path that the user gave
    version: str  # "6.1"; of the user's own kernel: "6.1" from its release
    arch: str  # "x86_64" or "i386"
    release: str  # "6.1.192-jumpback", as uname -r prints it
    bzimage: Path
    vmlinux: Path  # with its symbol table
    config: Path | None  # None: the user's kernel came without
    key: str  # cache key, "" for the user's own
    source_version: str  # Debian's package version, "" for the user's own
    warnings: tuple[str, ...] = ()
    variant: str = ""  # "gdt-not-restored": the one change on top of the version
    flavour: str = ""  # "stock": without our patch series; or another config, "lockdep"
    # Pages of docs/findings, without ".md", whose defect our patch series mends in this kernel. A
    # variant may have put one of them back: then it is to be noticed.
    fixed: frozenset[str] = frozenset()


def full_name(version: str, flavour: str, variant: str) -> str:
    """What people type after --kernel: "7.2", "7.2-stock", "7.2+gdt-not-restored"."""
    title = f"{version}-{flavour}" if flavour else version
    return f"{title}+{variant}" if variant else title


def from_cache(folder: Path) -> KernelUnderTest:
    """The kernel that the builder published in ``folder``."""
    path = folder / META
    try:
        meta = json.loads(path.read_text())
        variant, flavour = meta.get("variant", ""), meta.get("flavour", "")
        return KernelUnderTest(
            name=full_name(meta["version"], flavour, variant),
            version=meta["version"],
            arch=meta["arch"],
            release=meta["release"],
            bzimage=folder / "bzImage",
            vmlinux=folder / "vmlinux",
            config=folder / "config",
            key=meta["key"],
            source_version=meta["source_version"],
            variant=variant,
            flavour=flavour,
        )
    except (OSError, ValueError, KeyError) as error:
        raise KernelError(
            f"{path}: not a built kernel ({error}); remove {folder} to build anew"
        ) from error
