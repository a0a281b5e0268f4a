# SPDX-License-Identifier: GPL-2.0-or-later
"""A scenario run by the command line, in a process of its own, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from harness.paths import TREE
from scenarios.tests.conftest import Ran


def run_scenario(folder: Path, name: str, *arguments: str) -> Ran:
    """`jumpback run NAME ARGUMENTS --json`, with a run folder below ``folder``."""
    out = folder / f"run-{len(list(folder.iterdir()))}"
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "run", name, *arguments),
            *("--json", "--quiet", "--out", str(out)),
        ],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": f"{TREE / 'build' / 'release'}:{TREE}"},
        capture_output=True,
        text=True,
    )
    assert answer.stdout, f"exit {answer.returncode}, no JSON:\n{answer.stderr}"
    return Ran(answer.returncode, json.loads(answer.stdout), out, answer.stderr)
