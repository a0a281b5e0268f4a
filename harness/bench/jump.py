# SPDX-License-Identifier: GPL-2.0-or-later
"""What a verified jump costs against a bare one, and what a boot-once snapshot saves.

What is compared takes turns, so that a change of the host's speed meets both.
"""

from __future__ import annotations

import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kernel
from harness.bench.figures import Aim, Figure
from harness.bench.jump_bare import BareTrip
from harness.errors import InfraError
from harness.results import RunResult
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


def round_trip(pairs: int, memory_mib: int, note: Callable[[str], None]) -> list[Figure]:
    """Medians over ``pairs``. First (jump-kernel, whole process) / (bare commands): boot A, load B,
    jump, boot B, jump back. Then (the same with A restored) / (jump-kernel)."""
    with tempfile.TemporaryDirectory(prefix="jumpback-bench-") as name:
        folder = Path(name)
        bare = BareTrip(kernel.resolve("6.1", "x86_64"), folder, memory_mib)
        ratios, work, gains, verified, bares, restored = [], [], [], [], [], []
        _run("jump-kernel", memory_mib, folder / "first", "--boot-once")  # saves A
        for pair in range(pairs):
            spent = [_cpu_seconds()]
            bares.append(bare.run())
            spent.append(_cpu_seconds())
            verified.append(_seconds("jump-kernel", memory_mib, folder / f"run-{pair}"))
            spent.append(_cpu_seconds())
            out = folder / f"restored-{pair}"
            restored.append(_seconds("jump-kernel", memory_mib, out, "--boot-once"))
            ratios.append(verified[-1] / bares[-1])
            work.append((spent[2] - spent[1]) / (spent[1] - spent[0]))
            gains.append(restored[-1] / verified[-1])
            note(
                f"pair {pair + 1}: bare {bares[-1]:.2f} s, verified {verified[-1]:.2f} s, "
                f"with A restored {restored[-1]:.2f} s"
            )
    return [
        Figure(
            f"a verified trip A to B to A, {memory_mib} MiB, TCG (median of {pairs})",
            f"{statistics.median(verified):.2f} s",
            statistics.median(ratios),
            f"the bare QEMU commands, no checks ({statistics.median(bares):.2f} s)",
            Aim.AT_MOST,
            1.25,
            "the guests' own time under TCG, which both spend; "
            f"CPU time is {statistics.median(work):.2f} of the bare commands'",
        ),
        Figure(
            "the same with A restored (--boot-once)",
            f"{statistics.median(restored):.2f} s",
            statistics.median(gains),
            "the trip with A's boot",
            Aim.AT_MOST,
            1.0,
            "loading B and B's boot, which both spend",
        ),
    ]


def switching(switches: int, memory_mib: int) -> Figure:
    """Mean time of jump-pingpong's verified switches, from one to the next, checks included."""
    with tempfile.TemporaryDirectory(prefix="jumpback-bench-") as name:
        result = _run("jump-pingpong", memory_mib, Path(name) / "run", "--switches", str(switches))
    (life,) = result.lives
    # "departure A to B, switch 3" begins the third.
    begun = [
        stage.start for stage in life.stages if re.fullmatch(r"departure .*switch \d+", stage.name)
    ]
    mean = (begun[-1] - begun[0]) / (len(begun) - 1)
    boot = next(stage for stage in life.stages if stage.name == "boot")
    assert boot.end is not None
    first = float(result.properties["first_jump_and_boot_seconds"])
    return Figure(
        f"a verified switch of two kernels, {memory_mib} MiB, TCG (mean of {len(begun) - 1})",
        f"{mean:.2f} s",
        mean,
        f"a second; in the same run A's boot took {boot.end - boot.start:.2f} s, the first jump "
        f"with B's boot {first:.2f} s",
        Aim.AT_MOST,
        1.0,
        "suspending and resuming the devices, and three comparisons of all RAM",
    )


def _seconds(scenario: str, memory_mib: int, out: Path, *options: str) -> float:
    began = time.monotonic()
    _run(scenario, memory_mib, out, *options)
    return time.monotonic() - began


def _cpu_seconds() -> float:
    """Of all processes that have ended, QEMU's too: busy hosts change it less than the clock."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(scenario: str, memory_mib: int, out: Path, *options: str) -> RunResult:
    from reports import json_report

    argv = [sys.executable, "-m", "harness", "run", scenario, "--quiet", "--accel", "tcg"]
    argv += ["--memory", str(memory_mib), "--out", str(out), *options]
    answer = subprocess.run(argv, cwd=TREE, capture_output=True, text=True)
    if answer.returncode != 0:
        raise InfraError(f"{scenario} failed:\n{answer.stdout[-3000:]}")
    return json_report.read(out / "result.json")
