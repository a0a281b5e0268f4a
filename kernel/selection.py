# SPDX-License-Identifier: GPL-2.0-or-later
"""From what a user types to a kernel; what is built, and what may go."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from kernel import builder, catalogue, compiler_cache, source_tree
from kernel.cache import Cache
from kernel.catalogue import Row
from kernel.progress import Progress
from kernel.under_test import META, KernelUnderTest, from_cache
from kernel.user import load_user_kernel


class State(enum.Enum):
    BUILT = "built"
    BUILDING = "building"
    NOT_BUILT = "not built"
    OUTDATED = "outdated"  # built from inputs that have changed since


@dataclass(frozen=True)
class Listed:
    """One line of `jumpback kernel list`."""

    version: str  # "6.1", "6.1-stock", "7.2+gdt-not-restored"
    arch: str
    state: State
    release: str = ""
    source_version: str = ""
    size: int = 0  # bytes on disk
    folder: Path | None = None
    caught: str = ""  # a variant: the scenario that must show it, and the stage it must blame


def resolve(
    spec: str,
    arch: str = "x86_64",
    *,
    progress: Progress | None = None,
    jobs: int | None = None,
    cache: Cache | None = None,
) -> KernelUnderTest:
    """The kernel that ``spec`` names: one of the catalogue (built if need be), or a path.

    Of the catalogue: a version ("7.2"), a flavour ("7.2-stock") or a variant ("7.2+deadlock").

    A path has a slash in it, or is an existing folder that is no version. ``arch`` is for the
    catalogue; of a path the files tell it. Raises KernelError's children.
    """
    if is_path(spec):
        return load_user_kernel(Path(spec).expanduser())
    row = catalogue.find(spec, arch)
    return builder.build(row, jobs=jobs, progress=progress, cache=cache)


def is_path(spec: str) -> bool:
    """Whether ``spec`` is a path and not a version of the catalogue."""
    if "/" in spec or spec in (".", "..") or spec.startswith("~"):
        return True
    titles = {row.title for row in catalogue.load()}
    return spec.partition("+")[0] not in titles and Path(spec).exists()


def list_kernels(cache: Cache | None = None, rows: list[Row] | None = None) -> list[Listed]:
    """Every row of the catalogue, then its variants, then what the cache has that none wants."""
    cache = cache or Cache()
    if rows is None:
        rows = catalogue.load()
        rows = [*rows, *catalogue.load_variants(rows)]
    listed, current = [], set()
    for row in rows:
        kernel = builder.built(row, cache)
        if kernel:
            folder = kernel.bzimage.parent
            current.add(folder.name)
            listed.append(_listed(kernel, State.BUILT, _caught(row)))
        else:
            state = State.BUILDING if builder.building(row, cache) else State.NOT_BUILT
            listed.append(Listed(row.title, row.arch, state, caught=_caught(row)))
    for meta in sorted(cache.root.glob(f"kernels/*/{META}")):
        if meta.parent.name not in current:
            listed.append(_listed(from_cache(meta.parent), State.OUTDATED))
    return listed


@dataclass(frozen=True)
class Pruned:
    """What prune removed, and how many bytes that was."""

    paths: tuple[Path, ...]
    size: int


def prune(cache: Cache | None = None, *, everything: bool = False) -> Pruned:
    """Removes outdated kernels, source trees and what dead processes left.

    Source trees are big (1.4 GB) and come back from the package in half a minute; packages stay,
    so that everything can be built again without network. ``everything``: all kernels, packages
    and remembered compilations too. What another process is using now is left alone.
    """
    cache = cache or Cache()
    size, removed = 0, cache.remove_stale()
    current = set()
    if not everything:
        current = {kernel.folder for kernel in list_kernels(cache) if kernel.state is State.BUILT}
    for kind, lock_name in (("kernels", builder.lock_name), ("sources", source_tree.lock_name)):
        for folder in sorted(cache.folder(kind).iterdir()):
            if folder in current:
                continue
            with cache.try_lock(lock_name(folder)) as free:
                if free:
                    size += disk_size(folder)
                    cache.remove(folder)
                    removed.append(folder)
    for link in cache.folder("names").iterdir():
        if not link.exists():
            link.unlink()
    remembered = cache.root / compiler_cache.FOLDER
    if everything and remembered.is_dir():
        # Builds that go on find it empty and fill it anew: ccache makes what it misses.
        size += disk_size(remembered)
        cache.remove(remembered)
        removed.append(remembered)
    if everything:
        for path in sorted(cache.folder("packages").iterdir()):
            size += disk_size(path)
            path.unlink()
            removed.append(path)
    return Pruned(tuple(removed), size)


def disk_size(path: Path) -> int:
    """Bytes that ``path`` and everything below take on disk."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if not p.is_dir()]
    return sum(p.lstat().st_blocks * 512 for p in files)


def _caught(row: Row) -> str:
    if row.variant is None:
        return ""
    return f"{' '.join((row.variant.scenario, *row.variant.options))}: {row.variant.stage}"


def _listed(kernel: KernelUnderTest, state: State, caught: str = "") -> Listed:
    folder = kernel.bzimage.parent
    return Listed(
        version=kernel.name,
        arch=kernel.arch,
        state=state,
        release=kernel.release,
        source_version=kernel.source_version,
        size=disk_size(folder),
        folder=folder,
        caught=caught,
    )
