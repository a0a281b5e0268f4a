# SPDX-License-Identifier: GPL-2.0-or-later
"""A scenario run by the command line, in a process of its own, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.paths import TREE


@dataclass(frozen=True)
class Ran:
    exit: int
    document: dict[str, Any]
    folder: Path
    stderr: str

    @property
    def findings(self) -> list[dict[str, Any]]:
        return [finding for check in self.document["checks"] for finding in check["findings"]]

    def summary(self) -> str:
        """For assertion messages: all that a reader needs to go on."""
        return (
            f"{self.document['verdict']}: {self.document['reason']}\n"
            f"findings: {json.dumps(self.findings, indent=1)[:3000]}\n"
            f"console: {self.document['console_tail']}\nreproduce: {self.document['command']}\n"
            f"stderr: {self.stderr[-1000:]}"
        )


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
