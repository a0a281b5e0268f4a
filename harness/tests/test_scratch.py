# SPDX-License-Identifier: GPL-2.0-or-later
"""Where captures go: into memory if all of them fit there, else into the run folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.hibernation.scratch import scratch_folder

SHARED = Path("/dev/shm")
NEED = 1 << 20


@pytest.mark.parametrize("captures", [2, 3])
def test_all_captures_have_to_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, captures: int
) -> None:
    if not SHARED.is_dir() or not os.access(SHARED, os.W_OK):
        pytest.skip("no /dev/shm")
    for free, place in ((captures * NEED, tmp_path), (captures * NEED + 4096, SHARED)):
        room = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
        with monkeypatch.context() as patch:
            patch.setattr(os, "statvfs", lambda _, room=room: room)
            made = scratch_folder(NEED, tmp_path, captures=captures)
        try:
            assert made.parent == place
        finally:
            shutil.rmtree(made)
