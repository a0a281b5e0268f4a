# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel source trees in the cache: unpacked once for each version, patched in copies."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from kernel.cache import Cache
from kernel.debian import Package
from kernel.errors import PackageError, PatchError
from kernel.progress import Progress

# No fuzz: nothing may land off its place.
PATCH = ("patch", "-p1", "--fuzz=0", "--batch", "--forward")


def patch_digest(patches: Sequence[Path]) -> str:
    """Hex digest over order and contents of ``patches``: what they change, not what they say."""
    digest = hashlib.sha256()
    for patch in patches:
        text = patch.read_bytes()
        change = text[max(text.find(b"\n--- "), 0) :]
        digest.update(f"{hashlib.sha256(change).hexdigest()}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def prepared(package: Package, cache: Cache, progress: Progress) -> Iterator[Path]:
    """The source tree of ``package`` as Debian has it; unpacked if it is not there.

    It stays while the context lasts. Nobody may write into it: patches and builds go to a copy
    (``linked``). Raises PackageError.
    """
    place = cache.folder("sources") / f"{package.name}_{package.version.replace(':', '%3a')}"
    while True:
        # Builds from one tree go side by side: only who makes it keeps the others out.
        with cache.lock(lock_name(place), shared=True):
            if place.is_dir():
                yield place
                return
        with cache.lock(lock_name(place)):
            if not place.is_dir():  # or another process was faster
                _make(package, place, cache, progress)


@contextlib.contextmanager
def linked(source: Path, patches: Sequence[Path], cache: Cache) -> Iterator[Path]:
    """A copy of the tree ``source`` by hard links with ``patches`` applied, removed afterwards.

    Made in two seconds and takes no room. New files may be made in it; a file of ``source`` must
    be replaced, never written in place, which is what patch(1) and kbuild do. A build in a folder
    of the copy has the same relative paths whatever the source, so compilations can be found again
    (compiler_cache.py). Raises PatchError.
    """
    with cache.scratch(f"tree-{source.name}") as folder:
        tree = folder / "tree"
        command = ["cp", "--archive", "--link", str(source), str(tree)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise PatchError(f"{source}: no copy can be made in {folder}: {done.stderr.strip()}")
        apply_series(tree, patches)
        yield tree


def lock_name(place: Path) -> str:
    """The lock that users of the source tree at ``place`` share."""
    return f"source-{place.name}"


def _make(package: Package, place: Path, cache: Cache, progress: Progress) -> None:
    with cache.scratch(f"source-{place.name}") as folder:
        tree = folder / "tree"
        tree.mkdir()
        unpack(package, tree, progress)
        cache.publish_unsynced(tree, place)


def unpack(package: Package, tree: Path, progress: Progress) -> None:
    """Streams the tarball inside the package into ``tree``; nothing in between touches the disk."""
    member = f"./usr/src/{package.name}.tar.xz"
    progress.start(f"Unpacking {package.name} {package.version}", None)
    pipeline = [
        ["dpkg-deb", "--fsys-tarfile", str(package.path)],
        ["tar", "--extract", "--to-stdout", "--occurrence=1", "--file=-", member],
        ["xz", "--decompress", "--stdout"],
        [
            "tar",
            "--extract",
            "--file=-",
            f"--directory={tree}",
            "--strip-components=1",
            "--no-same-owner",
        ],
    ]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in pipeline:
            first, last = not processes, command is pipeline[-1]
            processes.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL if first else processes[-1].stdout,
                    stdout=subprocess.DEVNULL if last else subprocess.PIPE,
                    stderr=subprocess.PIPE if last else subprocess.DEVNULL,
                )
            )
            if not first:
                ours = processes[-2].stdout
                assert ours is not None
                ours.close()  # so that a dead reader is noticed by the writer
        _, complaint = processes[-1].communicate()
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        for process in processes:
            process.wait()
        progress.done()
    # The first two may end by SIGPIPE once the member has been read: only the tail counts.
    if processes[-1].returncode != 0 or processes[-2].returncode != 0 or not any(tree.iterdir()):
        raise PackageError(
            f"{package.path}: cannot unpack {member}; remove the file and try again, and see "
            f"whether the disk is full: {complaint.decode(errors='replace').strip()}"
        )


def apply_series(tree: Path, patches: Sequence[Path]) -> None:
    """Applies ``patches`` in order. Raises PatchError that names the one that does not apply."""
    for number, patch in enumerate(patches, 1):
        command = [*PATCH, f"--input={patch}"]
        try:
            done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise PatchError("patch is missing: apt-get install patch") from error
        if done.returncode != 0:
            said = "\n".join(f"    {line}" for line in done.stdout.strip().splitlines())
            raise PatchError(
                f"{patch}: patch {number} of {len(patches)} does not apply:\n{said}\n"
                "Refresh it against this source version, or take it out of its series file."
            )
