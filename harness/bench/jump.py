# SPDX-License-Identifier: GPL-2.0-or-later
"""What a boot-once snapshot saves: a guest up to its agent's answer, restored against booted.

The two take turns, so that a change of the host's speed meets both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.bench.figures import Aim, Figure
from harness.errors import InfraError
from harness.paths import TREE

_LIMIT = 120.0  # seconds for one process


def snapshot(pairs: int, memory_mib: int, note: Callable[[str], None]) -> list[Figure]:
    """Medians over ``pairs`` of (restored) / (booted): the machine alone, and the whole process."""
    with tempfile.TemporaryDirectory(prefix="jumpback-bench-") as name:
        folder = Path(name)
        _, first = _answer(folder, memory_mib, "restore")  # finds nothing: boots and saves
        machine_ratios, process_ratios, machines, processes, saving = [], [], [], [], []
        for pair in range(pairs):
            whole_boot, boot = _answer(folder, memory_mib, "boot")
            whole_restore, restore = _answer(folder, memory_mib, "restore")
            note(f"pair {pair + 1}: booted {boot:.2f} s, restored {restore:.2f} s")
            machine_ratios.append(restore / boot)
            process_ratios.append(whole_restore / whole_boot)
            machines.append(restore)
            processes.append(whole_restore)
            saving.append(first - boot)
    cost = f"the first run, which boots and saves, took {statistics.median(saving):+.2f} s more"
    middle = statistics.median(processes) - statistics.median(machines)
    return [
        Figure(
            f"agent answers after a restore, {memory_mib} MiB, TCG (median of {pairs})",
            f"{statistics.median(machines):.2f} s",
            statistics.median(machine_ratios),
            "a boot up to the same answer",
            Aim.AT_MOST,
            0.25,
            f"QEMU's own start and a copy of the RAM in use; {cost}",
        ),
        Figure(
            "the same from the start of the process",
            f"{statistics.median(processes):.2f} s",
            statistics.median(process_ratios),
            "a process that boots",
            Aim.AT_MOST,
            0.5,
            f"Python's start and the machine's end, which both spend: {middle:.2f} s",
        ),
    ]


def _answer(folder: Path, memory_mib: int, how: str) -> tuple[float, float]:
    """Seconds of the whole process, and from the machine's making to the agent's answer."""
    argv = [sys.executable, "-m", "harness.bench.answer", str(folder), str(memory_mib), how]
    began = time.monotonic()
    answer = subprocess.run(argv, cwd=TREE, capture_output=True, text=True, timeout=_LIMIT)
    seconds = time.monotonic() - began
    if answer.returncode != 0:
        raise InfraError(f"no answer of a guest ({how}):\n{answer.stderr[-2000:]}")
    return seconds, float(answer.stdout)
