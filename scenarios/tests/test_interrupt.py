# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C, kill and SIGKILL in the middle of a run: no machine and no scratch memory is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.paths import TREE

pytestmark = [pytest.mark.boots, pytest.mark.timeout(120)]

LIMIT = 30.0  # seconds; usual: below 1


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT:g} s: {what}"
        time.sleep(0.02)


def _machines(folder: Path) -> list[int]:
    """Processes of machines that belong to the run in ``folder``."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue  # ended meanwhile
            if b"qemu-system" in words and os.fsencode(folder) in words:
                found.append(int(process.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "run"
    shared = set(Path("/dev/shm").glob("jumpback-*"))
    argv = [sys.executable, "-m", "harness", "run", "hibernate-disk", "--cycles", "50", "--quiet"]
    process = subprocess.Popen(
        [*argv, "--out", str(out)],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": f"{TREE / 'build' / 'release'}:{TREE}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait(lambda: (out / "life-02").exists(), "the second life has begun")
    _wait(lambda: bool(_machines(out)), "its machine runs")
    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT)
    _wait(lambda: not _machines(out), "its machines have ended")
    if number is signal.SIGKILL:
        return  # nobody was left to tidy up scratch files and to write a result
    assert process.returncode == 130
    assert "interrupted" in errors and "Traceback" not in errors
    assert json.loads((out / "result.json").read_text())["reason"] == "interrupted"
    mine = set(Path("/dev/shm").glob("jumpback-*")) - shared
    assert not [path for path in mine if _owner(path) == process.pid], mine


def _owner(path: Path) -> int:
    """The scratch folder's name ends in the process that made it."""
    return int(path.name.rpartition("-")[2])
