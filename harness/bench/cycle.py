# SPDX-License-Identifier: GPL-2.0-or-later
"""A verified cycle against the bare QEMU commands that hibernate and resume the same kernel.

The two take turns, so that a change of the host's speed meets both. The bare commands are what a
user would type: no debugger, no captures, no agent, no report; a shell script in the guest.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kernel
from harness.bench.figures import Aim, Figure
from harness.errors import InfraError
from harness.guest_image import GuestFile, build_guest
from harness.machine.config import QEMU, TCG_CPU
from harness.paths import TREE

_INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkswap /dev/vda
swapon /dev/vda
echo shutdown > /sys/power/disk
echo disk > /sys/power/state
echo RESUMED
poweroff -f
"""
_LIMIT = 120.0  # seconds for one life


def verified_cycle(pairs: int, memory_mib: int, note: Callable[[str], None]) -> Figure:
    """Median over ``pairs`` of (verified run, whole process) / (bare commands)."""
    with tempfile.TemporaryDirectory(prefix="jumpback-bench-") as folder:
        work = Path(folder)
        tested = kernel.resolve("6.1", "x86_64")
        script = work / "bare-init"
        script.write_text(_INIT)
        guest = build_guest("x86_64", files={"/bare-init": GuestFile(script, 0o755)})
        ratios, verified = [], []
        for pair in range(pairs):
            bare = _bare(work, tested.bzimage, guest.path, memory_mib)
            ours = _verified(work / f"run-{pair}", memory_mib)
            note(f"pair {pair + 1}: bare {bare:.2f} s, verified {ours:.2f} s, {ours / bare:.2f}")
            ratios.append(ours / bare)
            verified.append(ours)
    return Figure(
        f"a verified cycle, {memory_mib} MiB, TCG (median of {pairs})",
        f"{statistics.median(verified):.2f} s",
        statistics.median(ratios),
        "the bare QEMU commands, no checks",
        Aim.AT_MOST,
        1.15,
        "the guest's own time under TCG, which both spend",
    )


def _bare(work: Path, bzimage: Path, initrd: Path, memory_mib: int) -> float:
    swap, console = work / "bare.raw", work / "bare.log"
    swap.unlink(missing_ok=True)
    swap.touch()
    os.truncate(swap, 2 * memory_mib << 20)
    argv = [QEMU, "-machine", "q35,accel=tcg", "-cpu", TCG_CPU, "-m", str(memory_mib)]
    argv += ["-nodefaults", "-display", "none", "-serial", f"file:{console}"]
    argv += ["-drive", f"file={swap},if=virtio,format=raw"]
    argv += ["-kernel", str(bzimage), "-initrd", str(initrd), "-append"]
    argv += ["console=ttyS0,115200 nokaslr no_console_suspend resume=/dev/vda rdinit=/bare-init"]
    began = time.monotonic()
    for _ in range(2):
        subprocess.run(argv, check=True, timeout=_LIMIT, stdin=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    if "RESUMED" not in console.read_text(errors="replace"):
        raise InfraError(f"the bare commands did not resume:\n{console.read_text()[-2000:]}")
    return seconds


def _verified(out: Path, memory_mib: int) -> float:
    argv = [sys.executable, "-m", "harness", "run", "hibernate-disk", "--quiet", "--accel", "tcg"]
    argv += ["--memory", str(memory_mib), "--out", str(out)]
    began = time.monotonic()
    answer = subprocess.run(argv, cwd=TREE, capture_output=True, text=True, timeout=3 * _LIMIT)
    seconds = time.monotonic() - began
    if answer.returncode != 0:
        raise InfraError(f"the verified run failed:\n{answer.stdout[-3000:]}")
    return seconds


def flat_memory(cycles: int) -> Figure:
    """The rig's own memory over many cycles: after the last against after the third."""
    from reports import json_report

    with tempfile.TemporaryDirectory(prefix="jumpback-bench-") as folder:
        out = Path(folder) / "run"
        argv = [sys.executable, "-m", "harness", "run", "hibernate-disk", "--quiet"]
        argv += ["--cycles", str(cycles), "--out", str(out)]
        answer = subprocess.run(argv, cwd=TREE, capture_output=True, text=True)
        if answer.returncode != 0:
            raise InfraError(f"the run of {cycles} cycles failed:\n{answer.stdout[-3000:]}")
        result = json_report.read(out / "result.json")
    sizes = [int(word) for word in result.properties["rig_memory_kib_by_cycle"].split()]
    early, late = sizes[min(2, len(sizes) - 1)], sizes[-1]
    return Figure(
        f"the rig's memory after {cycles} cycles",
        f"{late / 1024:.0f} MiB",
        late / early,
        "after the third cycle",
        Aim.AT_MOST,
        1.1,
        f"{result.seconds / cycles:.2f} s a cycle",
    )
