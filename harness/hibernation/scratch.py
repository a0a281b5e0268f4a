# SPDX-License-Identifier: GPL-2.0-or-later
"""A private folder in memory for captures, and the clearing of what killed runs left there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def scratch_folder(need: int, fallback: Path, *, captures: int = 2) -> Path:
    """Private, on a tmpfs if so many captures of ``need`` bytes fit there, else in ``fallback``."""
    shared = Path("/dev/shm")
    if shared.is_dir():
        stat = os.statvfs(shared)
        if stat.f_bavail * stat.f_frsize > captures * need and os.access(shared, os.W_OK):
            _remove_abandoned(shared)
            return Path(tempfile.mkdtemp(prefix="jumpback-", suffix=f"-{os.getpid()}", dir=shared))
    return Path(tempfile.mkdtemp(prefix="scratch-", dir=fallback))


def _remove_abandoned(shared: Path) -> None:
    """What runs that were killed left on the tmpfs: it is memory. Their process is in the name."""
    for folder in shared.glob("jumpback-*"):
        owner = folder.name.rpartition("-")[2]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)
