# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of Debian packages with the libraries that they need, unpacked side by side: to be run
by their own loader, on the host for another architecture, or in a guest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from harness.guest_program import GuestImageError
from kernel import debian
from kernel.cache import Cache
from kernel.errors import KernelError
from kernel.progress import Progress, Silent

# By architecture: the dynamic loader, and the folders that it is to search.
LOADER = {"x86_64": "lib64/ld-linux-x86-64.so.2", "i386": "lib/ld-linux.so.2"}
_FOLDERS: dict[str, tuple[str, ...]] = {
    "x86_64": ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"),
    "i386": ("lib/i386-linux-gnu", "usr/lib/i386-linux-gnu"),
}


def debian_tree(
    packages: Sequence[str], arch: str, progress: Progress | None = None, cache: Cache | None = None
) -> Path:
    """A folder with the contents of all ``packages``. Raises GuestImageError."""
    cache, progress = cache or Cache(), progress or Silent()
    try:
        suite = debian.host_suite()
        debs = [
            debian.fetch_package(name, suite, arch, progress=progress, cache=cache)
            for name in packages
        ]
        digest = hashlib.sha256()
        for deb in debs:
            digest.update(hashlib.sha256(deb.read_bytes()).digest())
        key = f"tree-{digest.hexdigest()[:20]}"
        place = cache.root / "guest" / key
        with cache.lock(key):
            if not place.is_dir():
                with cache.scratch(key) as scratch:
                    made = scratch / "tree"
                    made.mkdir()
                    for deb in debs:
                        debian.extract(deb, made)
                    cache.publish_unsynced(made, place)
    except KernelError as error:
        raise GuestImageError(f"{', '.join(packages)} for {arch}: {error}") from error
    return place


def library_folders(arch: str) -> tuple[str, ...]:
    """Where a tree has its libraries."""
    return _FOLDERS[arch]


def host_command(tree: Path, arch: str, program: str) -> list[str]:
    """How the host runs a program of the tree with the tree's own libraries."""
    folders = os.pathsep.join(str(tree / folder) for folder in _FOLDERS[arch])
    return [str(tree / LOADER[arch]), "--library-path", folders, str(tree / program)]
