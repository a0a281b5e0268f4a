# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback doctor``: what this machine can do, each line found by trying it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from harness.machine.accelerator import choose_accelerator
from harness.paths import cache_folder, runs_folder

MIB = 1024 * 1024


@dataclass(frozen=True)
class Line:
    name: str
    ok: bool
    text: str


def _program(name: str, *argv: str) -> Line:
    path = shutil.which(argv[0])
    if path is None:
        return Line(name, False, f"{argv[0]} not found; `./jumpback` as root installs it")
    answer = subprocess.run(argv, capture_output=True, text=True)
    first = (answer.stdout or answer.stderr).splitlines()
    return Line(name, answer.returncode == 0, first[0] if first else "no version")


def _space(name: str, folder: Path, need_mib: int, use: str) -> Line:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    stat = os.statvfs(existing)
    free = stat.f_bavail * stat.f_frsize // MIB
    text = f"{free} MiB free in {folder} ({use}; {need_mib} MiB are enough)"
    return Line(name, free >= need_mib, text)


def _memory() -> Line:
    fields: dict[str, int] = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        key, _, rest = line.partition(":")
        fields[key] = int(rest.split()[0]) // 1024
    available = fields.get("MemAvailable", 0)
    text = f"{available} MiB available of {fields.get('MemTotal', 0)} MiB"
    return Line("memory", available >= 2048, text)


def examine() -> list[Line]:
    cores = len(os.sched_getaffinity(0))
    accelerator, reason = choose_accelerator("auto")
    kvm = _kvm_line()
    return [
        Line("cores", cores >= 2, f"{cores} usable"),
        _memory(),
        _space("cache", cache_folder(), 4096, "kernels, packages"),
        _space("runs", runs_folder(), 2048, "artifacts"),
        _space("shared memory", Path("/dev/shm"), 1024, "captures, else the run folder"),
        _program("qemu", "qemu-system-x86_64", "--version"),
        _program("compiler", "gcc", "--version"),
        kvm,
        Line("accelerator", True, f"{accelerator}: {reason}"),
    ]


def _kvm_line() -> Line:
    import jumpback_vm

    probe = jumpback_vm.kvm_probe()
    return Line("kvm", probe.usable, probe.line)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="As one JSON document on stdout.")
def doctor_command(as_json: bool) -> None:
    """Say what this machine can do: the KVM probe's result, QEMU, disk, memory, cores.

    KVM is judged by running guest code and timing it, not by opening the device: some hosts offer
    a /dev/kvm that only emulates.
    """
    lines = examine()
    if as_json:
        document = {"schema": "jumpback.doctor/1", "lines": [asdict(line) for line in lines]}
        click.echo(json.dumps(document, indent=2))
        return
    for line in lines:
        click.echo(f"  {'ok ' if line.ok else '-- '} {line.name:<14} {line.text}")
