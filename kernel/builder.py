# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds a row of the catalogue into the cache, once for each set of inputs.

Kept are bzImage, vmlinux, config, System.map and meta.json; the build tree goes. A variant is
built as any other kernel, with one more patch; compiler_cache.py makes it cheap.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kernel import compiler_cache, config, debian, source_tree
from kernel.cache import Cache
from kernel.catalogue import Row
from kernel.debian import Package
from kernel.errors import KernelError
from kernel.make import check_tools, compiler_version, run_make
from kernel.progress import Progress, Silent
from kernel.under_test import META, KernelUnderTest, from_cache

# Goes up when a change here makes other bytes from the same inputs, or keeps other files.
FORMAT = 1
# Steps of a build, for the first progress bar; afterwards the last build's number is known.
_STEPS_GUESS = 1500
# Source packages are architecture-independent: one download serves every row of a version.
_SOURCE_ARCH = "x86_64"
_PASSED_ON = ("PATH", "HOME", "TMPDIR")


def build(
    row: Row,
    *,
    refresh: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> KernelUnderTest:
    """The kernel of ``row``: from the cache, or built now (minutes, about 3 GB of disk meanwhile).

    ``refresh``: look for a newer source package first. ``jobs``: make -j, by default one for each
    CPU. Needs network only if the source package is not in the cache. Two processes that want the
    same kernel: one builds, the other waits for it. Raises KernelError's children.
    """
    cache, progress = cache or Cache(), progress or Silent()
    if not refresh and (ready := built(row, cache)):
        cache.name(row.name, ready.bzimage.parent)
        return ready
    check_tools()
    package = debian.locate(
        row.package, row.suites, _SOURCE_ARCH, refresh=refresh, progress=progress, cache=cache
    )
    key = cache_key(row, package.version, compiler_version())
    place = cache.folder("kernels") / key
    if cache.locked(lock_name(place)):
        progress.note(f"kernel {row.name}: another process builds it, waiting")
    with cache.lock(lock_name(place)):
        if not place.is_dir():
            with source_tree.prepared(package, cache, progress) as source:
                with source_tree.linked(source, row.all_patches, cache) as tree:
                    build_tree(row, tree, package, key, cache, progress, jobs)
    cache.name(row.name, place)
    return _as_row(from_cache(place), row)


def built(row: Row, cache: Cache) -> KernelUnderTest | None:
    """The kernel of ``row`` if the cache has it for the source version last seen; no network."""
    key = current_key(row, cache)
    place = cache.root / "kernels" / key if key else None
    return _as_row(from_cache(place), row) if place and place.is_dir() else None


def _as_row(kernel: KernelUnderTest, row: Row) -> KernelUnderTest:
    """Two rows may come to the same bytes: a version with an empty series, and its stock kernel."""
    return replace(kernel, name=row.title, flavour=row.flavour, fixed=row.fixed)


def current_key(row: Row, cache: Cache) -> str | None:
    """The key that a build would have now; None before the suite has been asked for the source."""
    candidate = debian.known(row.package, row.suites, _SOURCE_ARCH, cache=cache)
    return cache_key(row, candidate.version, compiler_version()) if candidate else None


def building(row: Row, cache: Cache) -> bool:
    """Whether some process builds ``row`` right now."""
    key = current_key(row, cache)
    return bool(key and cache.locked(lock_name(cache.root / "kernels" / key)))


def lock_name(place: Path) -> str:
    """The lock that is held while the kernel at ``place`` is being built."""
    return f"kernel-{place.name}"


def cache_key(row: Row, source_version: str, compiler: str) -> str:
    """Hex digest over all that decides the kernel's bytes."""
    inputs: dict[str, object] = {
        "format": FORMAT,
        "arch": row.arch,
        "version": row.version,
        "source": [row.package, source_version],
        # What they say, not their comments or how they are cut.
        "options": {w.option: w.value for w in config.read_fragments(row.fragments).values()},
        "patches": source_tree.patch_digest(row.patches),
        "compiler": compiler,
    }
    if row.variant:
        inputs["variant"] = source_tree.patch_digest([row.variant.patch])
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:40]


def build_tree(
    row: Row,
    tree: Path,
    package: Package,
    key: str,
    cache: Cache,
    progress: Progress,
    jobs: int | None = None,
) -> None:
    """Builds in a folder of the source ``tree`` and publishes the result under ``key``.

    The caller holds the key's lock, and ``tree`` is its own (source_tree.linked).
    """
    started = time.monotonic()
    compiler = compiler_version()
    environment = {**_environment(), **compiler_cache.environment(cache, tree, compiler)}
    log_path = cache.folder("logs") / f"{row.name}-{key[:12]}.log"
    with cache.scratch(f"kernel-{row.name}") as folder, log_path.open("w") as log:
        # Directly below the source, kbuild names every source file as "../FILE".
        output = tree / "build"
        output.mkdir()
        common = ["--no-print-directory", "-C", str(tree), f"O={output}", f"ARCH={row.arch}"]
        common += compiler_cache.make_arguments()
        what = f"kernel {row.name} ({package.name} {package.version})"
        progress.start(f"Configuring {what}", None)
        try:
            wishes = config.read_fragments(row.fragments)
            dot_config = output / ".config"
            if ready := _config_of_base(row, package, compiler, cache):
                dot_config.write_text(ready)
            else:
                run_make([*common, "tinyconfig"], log, environment, what)
                dot_config.write_text(config.merge(dot_config.read_text(), wishes))
                run_make([*common, "olddefconfig"], log, environment, what)
            config.check_survived(wishes, dot_config.read_text(), what)
        finally:
            progress.done()
        parallel = f"-j{jobs or os.cpu_count() or 1}"
        progress.start(f"Building {what}", _expected_steps(row, cache))
        try:
            steps = run_make([*common, parallel, "bzImage"], log, environment, what, progress)
        finally:
            progress.done()
        made = _collect(output, folder)
        meta = {
            "name": row.name,
            "version": row.version,
            "arch": row.arch,
            "flavour": row.flavour,
            "variant": row.variant.id if row.variant else "",
            "release": (output / "include/config/kernel.release").read_text().strip(),
            "key": key,
            "source_package": package.name,
            "source_version": package.version,
            "fragments": [f.stem for f in row.fragments],
            "patches": [p.name for p in row.all_patches],
            "compiler": compiler,
            "format": FORMAT,
            "steps": steps,
            "seconds": round(time.monotonic() - started),
        }
        (made / META).write_text(json.dumps(meta, indent=1) + "\n")
        cache.publish(made, cache.folder("kernels") / key)


def _config_of_base(row: Row, package: Package, compiler: str, cache: Cache) -> str | None:
    """The config of the kernel that ``row`` is a variant of, if the cache has it: it is the same.

    Two runs of Kconfig take a third of a variant's time. A patch that adds an option is noticed:
    kbuild then asks for it, gets no answer and stops.
    """
    if row.variant is None:
        return None
    key = cache_key(replace(row, variant=None), package.version, compiler)
    path = cache.root / "kernels" / key / "config"
    return path.read_text() if path.is_file() else None


def _collect(output: Path, folder: Path) -> Path:
    made = folder / "made"
    made.mkdir()
    for source, name in (
        ("arch/x86/boot/bzImage", "bzImage"),
        ("vmlinux", "vmlinux"),
        (".config", "config"),
        ("System.map", "System.map"),
    ):
        if not (output / source).is_file():
            raise KernelError(f"make succeeded but left no {source} in {output}")
        shutil.copyfile(output / source, made / name)
    return made


def _environment() -> dict[str, str]:
    """A clean one: what kbuild listens to must not change a kernel behind its key's back."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **passed,
        "LC_ALL": "C",
        # The same inputs give the same bytes (Documentation/kbuild/reproducible-builds.rst).
        "KBUILD_BUILD_TIMESTAMP": "Mon Jan  1 00:00:00 UTC 2024",
        "KBUILD_BUILD_USER": "jumpback",
        "KBUILD_BUILD_HOST": "jumpback",
        "KBUILD_BUILD_VERSION": "1",
    }


def _expected_steps(row: Row, cache: Cache) -> int:
    """What the last build of the same version and architecture took, variants among them."""
    guess = _STEPS_GUESS
    metas: Sequence[Path] = sorted(
        cache.root.glob(f"kernels/*/{META}"), key=lambda path: path.stat().st_mtime
    )
    for path in metas:
        meta = json.loads(path.read_text())
        if (meta.get("version"), meta.get("arch")) == (row.version, row.arch) and meta.get("steps"):
            guess = int(meta["steps"])
    return guess
