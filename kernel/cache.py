# SPDX-License-Identifier: GPL-2.0-or-later
"""The rig's cache folder: locked, and nothing in it half-made.

A thing is made in a folder under tmp/ and moved to its place with one rename. The folder is held
by a flock on a file beside it, which the kernel releases however its owner dies; so a folder whose
lock can be taken is a dead process's and is removed.

    packages/   .deb files as downloaded, and what each suite was found to have
    apt/        apt's own state for each set of suites and architecture
    sources/    unpacked and patched source trees
    kernels/    built kernels, one folder a key
    names/      what a row of the catalogue was last built to, as links: 6.1-stock-x86_64
    ccache/     compilations, found again by other kernels of the same source
    logs/       the last build log of each key
    guest/      guests' programs and initial file systems (harness/guest_program.py)
    snapshots/  saved machines, up to a limit (harness/machine/snapshot_store.py)
    locks/, tmp/
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


def default_root() -> Path:
    """$JUMPBACK_CACHE, or jumpback/ in $XDG_CACHE_HOME, or in ~/.cache."""
    own = os.environ.get("JUMPBACK_CACHE")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "jumpback"


class Cache:
    """``root`` is created when something is first written to it."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root.absolute()

    def folder(self, *parts: str) -> Path:
        """An existing folder below the root."""
        path = self.root.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def lock(self, name: str, *, shared: bool = False) -> Iterator[None]:
        """Holds the lock ``name``, waiting for it as long as it takes."""
        with (self.folder("locks") / f"{name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Holds the lock ``name`` if it is free now, and says whether it was."""
        with (self.folder("locks") / f"{name}.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def locked(self, name: str) -> bool:
        """Whether some process (this one too) holds the lock ``name`` right now."""
        try:
            with (self.root / "locks" / f"{name}.lock").open() as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def name(self, name: str, place: Path) -> None:
        """Makes names/``name`` a link to the folder ``place``, for those who only look."""
        link = self.folder("names") / name
        target = os.path.relpath(place, link.parent)
        if link.is_symlink() and os.readlink(link) == target:
            return
        fresh = link.with_name(f".{name}.{secrets.token_hex(4)}")
        fresh.symlink_to(target)
        fresh.replace(link)

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A fresh folder on the cache's file system, removed afterwards; dead ones go first."""
        self.remove_stale()
        path = self.folder("tmp") / f"{name}.{secrets.token_hex(6)}"
        with self.lock("tmp"):  # or remove_stale could find the file before it is locked
            owner = _owner_file(path).open("w")
            fcntl.flock(owner, fcntl.LOCK_EX)
        with owner:
            try:
                path.mkdir()
                yield path
            finally:
                _discard(path)

    def publish(self, made: Path, place: Path) -> None:
        """Moves the finished folder ``made`` to ``place`` in one step, on disk before it shows."""
        for path in made.rglob("*"):
            if path.is_file() and not path.is_symlink():
                _sync(path)
        self.publish_unsynced(made, place)

    def publish_unsynced(self, made: Path, place: Path) -> None:
        """As publish, without waiting for the disk: for what is quickly made again."""
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(made, place)
        _sync(place.parent)

    def remove(self, place: Path) -> None:
        """Removes the folder ``place``; it is gone from its place at once or not at all."""
        with self.scratch("remove") as folder:
            os.rename(place, folder / place.name)

    def remove_stale(self) -> list[Path]:
        """Removes scratch folders whose process is gone; returns them."""
        removed = []
        tmp = self.folder("tmp")
        with self.lock("tmp"):
            owned = {owner_file.with_suffix("") for owner_file in tmp.glob("*.owner")}
            # The owner file is made first and goes last, so a folder without one is nobody's.
            for path in owned | {path for path in tmp.iterdir() if path.suffix != ".owner"}:
                with _owner_file(path).open("w") as owner:
                    try:
                        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    if _discard(path):
                        removed.append(path)
        return removed


def _discard(path: Path) -> bool:
    """Removes ``path``, then its owner file; False if a dying child still writes into it.

    Then the owner file stays, and the next remove_stale tries again.
    """
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        return False
    _owner_file(path).unlink(missing_ok=True)
    return True


def _owner_file(path: Path) -> Path:
    return path.with_name(path.name + ".owner")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
