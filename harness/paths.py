# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are kept: the cache (rebuilt at will), the runs (artifacts), the source tree.

``JUMPBACK_CACHE`` and ``JUMPBACK_RUNS`` override the places; otherwise the XDG folders are used.
"""

from __future__ import annotations

import os
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
BUILD = TREE / "build" / "release"


def cache_folder() -> Path:
    """Kernels, packages, guest images; anything here may be deleted and is made anew."""
    explicit = os.environ.get("JUMPBACK_CACHE")
    if explicit:
        return Path(explicit)
    xdg = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(xdg) / "jumpback"


def runs_folder() -> Path:
    """One folder a run, named by time and scenario."""
    explicit = os.environ.get("JUMPBACK_RUNS")
    if explicit:
        return Path(explicit)
    xdg = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(xdg) / "jumpback" / "runs"
