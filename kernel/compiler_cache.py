# SPDX-License-Identifier: GPL-2.0-or-later
"""ccache in front of the compiler: a variant of a kernel compiles only what its patch changed.

Its folder is the rig's own, below the cache; the user's ccache is neither read nor written. Without
ccache on the machine everything is built as before, only slower: the bytes are the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kernel.cache import Cache

FOLDER = "ccache"
_LIMIT = "2G"  # a version takes about 35 MB


def make_arguments() -> list[str]:
    """What make is told, so that compilations go through ccache; nothing if it is not there."""
    if shutil.which("ccache") is None:
        return []
    return ["CC=ccache gcc", "HOSTCC=ccache gcc"]


def environment(cache: Cache, tree: Path, compiler: str) -> dict[str, str]:
    """What ccache reads. ``tree``: paths below it do not count. ``compiler``: what decides bytes.

    Settings are ccache(1)'s. CCACHE_NOHASHDIR: without debug info the folder that the compiler runs
    in does not reach the object file. A configuration file that does not exist keeps the user's
    and the system's out.
    """
    folder = cache.folder(FOLDER)
    return {
        "CCACHE_DIR": str(folder),
        "CCACHE_CONFIGPATH": str(folder / "no-configuration-file"),
        "CCACHE_BASEDIR": str(tree),
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_COMPILERCHECK": f"string:{compiler}",
        "CCACHE_MAXSIZE": _LIMIT,
        # Linking the source tree changes its files' ctime, not what they say.
        "CCACHE_SLOPPINESS": "include_file_ctime",
    }
