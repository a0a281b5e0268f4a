# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the small static programs that run in the guest (fixtures/), from the cache if they are
there. A key stands for all that goes in: compiler, flags, sources.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from harness.errors import InfraError
from kernel.cache import Cache
from kernel.progress import Progress, Silent

_FLAGS = (
    "-std=gnu17 -O2 -static -s -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror "
    "-D_GNU_SOURCE -D_FILE_OFFSET_BITS=64"
).split()
# i686: 64-bit numbers are read and written whole (cmpxchg8b), and no CPU model is too old for it.
_ARCH_FLAGS: dict[str, list[str]] = {
    "x86_64": [],
    "i386": ["-m32", "-march=i686", "-Wno-psabi"],
}


class GuestImageError(InfraError):
    """The guest cannot be built on this host."""


def arch_flags(arch: str) -> list[str]:
    """gcc's options for ``arch``. Raises GuestImageError for one that there is no guest for."""
    if arch not in _ARCH_FLAGS:
        raise GuestImageError(f"no guest for {arch!r}: expected one of {', '.join(_ARCH_FLAGS)}")
    return _ARCH_FLAGS[arch]


def content_key(*parts: str | bytes) -> str:
    """A name for what is made of ``parts``."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:20]


def build_program(
    name: str,
    sources: Path,
    arch: str,
    *,
    title: str,
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> Path:
    """The program of all C and assembly files in the folder ``sources``. ``title``: for progress.

    Raises GuestImageError.
    """
    cache, progress = cache or Cache(), progress or Silent()
    flags = [*_FLAGS, *arch_flags(arch)]
    units = sorted([*sources.glob("*.c"), *sources.glob("*.S")])
    parts: list[str | bytes] = []
    for path in [*units, *sorted(sources.glob("*.h"))]:
        parts += [path.name, path.read_bytes()]
    key = content_key(_run(title, ["gcc", "--version"], "install gcc"), *flags, *parts)
    place = cache.root / "guest" / f"{name}-{key}"
    with cache.lock(f"{name}-{key}"):
        if not (place / name).is_file():
            progress.start(f"{title} for {arch}", None)
            with cache.scratch(f"{name}-{key}") as scratch:
                made = scratch / "program"
                made.mkdir()
                _run(
                    title,
                    ["gcc", *flags, "-o", str(made / name), *map(str, units)],
                    "for i386, install gcc-multilib" if arch == "i386" else "install libc6-dev",
                )
                cache.publish_unsynced(made, place)
            progress.done()
    return place / name


def _run(title: str, command: list[str], advice: str) -> str:
    """What ``command`` printed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise GuestImageError(f"{command[0]} is not installed: {advice}") from error
    if done.returncode != 0:
        raise GuestImageError(
            f"{command[0]} cannot build the {title} ({advice}): {done.stderr.strip()[-2000:]}"
        )
    return done.stdout
