# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine with a real kernel: hibernation by breakpoints, and every way to end, told apart.

JUMPBACK_TEST_KERNEL names another kernel than the catalogue's 6.1 (a folder with bzImage, vmlinux).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import kernel
from harness.errors import GuestHang, GuestPanic
from harness.guest_image import GuestFile, build_guest
from harness.machine import (
    Breakpoint,
    Hit,
    Life,
    Machine,
    MachineConfig,
    PowerOff,
    Reset,
    SleepState,
    TripleFault,
)
from harness.results import LifeOutcome

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

BOOT_LIMIT = 60.0  # seconds; about 2 on an idle machine
INIT = """#!/bin/busybox sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo "INIT UP"
for word in $(cat /proc/cmdline); do
    case $word in do=*) what=${word#do=};; esac
done
case $what in
hibernate-*)
    mkswap /dev/vda >/dev/null
    swapon /dev/vda
    echo ${what#hibernate-} >/sys/power/disk
    echo "GOING"
    echo disk >/sys/power/state
    echo "BACK $? CPUS $(grep -c ^processor /proc/cpuinfo)"
    ;;
resume) cat /sys/block/vda/dev >/sys/power/resume; echo "FRESH";;
off) poweroff -f;;
reboot) reboot -f;;
crash) echo c >/proc/sysrq-trigger;;
esac
while :; do sleep 1; done
"""


@dataclass
class Bench:
    """One kernel, one guest, one disk."""

    bzimage: Path
    initrd: Path
    arch: str
    symbols: dict[str, int]
    folder: Path

    def machine(self, cpus: int) -> Machine:
        disk = self.folder / "swap.img"
        with disk.open("wb") as file:
            file.truncate(256 << 20)
        config = MachineConfig(
            bzimage=self.bzimage,
            initrd=self.initrd,
            arch=self.arch,
            cpus=cpus,
            disks=(disk,),
            command_line="console=ttyS0 nokaslr no_console_suspend panic=0 rdinit=/machine-test",
        )
        return Machine(config, self.folder / "run")


@pytest.fixture(scope="module", params=["x86_64", "i386"])
def parts(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("parts")
    tested = kernel.resolve(os.environ.get("JUMPBACK_TEST_KERNEL", "6.1"), request.param)
    if tested.arch != request.param:
        pytest.skip(f"JUMPBACK_TEST_KERNEL is an {tested.arch} kernel")
    script = folder / "init"
    script.write_text(INIT)
    guest = build_guest(tested.arch, files={"/machine-test": GuestFile(script, 0o755)})
    listing = subprocess.run(["nm", tested.vmlinux], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listing.stdout.splitlines())
    symbols = {row[2]: int(row[0], 16) for row in rows if len(row) == 3}
    yield Bench(tested.bzimage, guest.path, tested.arch, symbols, folder)


@pytest.fixture
def bench(parts: Bench, tmp_path: Path) -> Bench:
    return Bench(parts.bzimage, parts.initrd, parts.arch, parts.symbols, tmp_path)


def boot(machine: Machine, what: str) -> Life:
    life = machine.new_life(append=f"do={what}")
    life.start()
    life.resume()
    return life


@pytest.mark.parametrize(
    ("mode", "cpus", "outcome"),
    [
        ("shutdown", 1, LifeOutcome.POWER_OFF_S5),
        ("platform", 2, LifeOutcome.POWER_OFF_S4),
        ("reboot", 2, LifeOutcome.RESET),
    ],
)
def test_hibernation_by_breakpoints(
    bench: Bench, mode: str, cpus: int, outcome: LifeOutcome
) -> None:
    symbols = bench.symbols
    save = symbols["swsusp_save"]
    word = 8 if bench.arch == "x86_64" else 4
    with bench.machine(cpus) as machine:
        life = boot(machine, f"hibernate-{mode}")
        with life.stage("save", BOOT_LIMIT):
            life.wait_console("GOING")
            life.run_until_breakpoint(save)
            # Paging is on, so the kernel's own addresses are readable, and are its text.
            registers = life.registers(0)
            assert registers.rip == save and registers.paging
            assert registers.long_mode == (bench.arch == "x86_64")
            assert registers.gdtr.limit > 0 and registers.idtr.limit >= 0x7FF
            code = life.read_virtual(save, 16)
            offset = save - (0xFFFFFFFF80000000 if word == 8 else 0xC0000000)
            assert life.read_physical(offset, 16) == code
            # lapic_suspend() has switched it off (arch/x86/kernel/apic/apic.c).
            assert life.interrupt_controllers().lapics[0]["spiv"] & 0x100 == 0
            # Of all messages, the ones that swsusp_save itself prints.
            callers: list[int] = []

            def from_save(hit: Hit) -> bool:
                callers.append(hit.return_address(word))
                return save <= callers[-1] < save + 0x1000

            life.add_breakpoint(symbols["_printk"], "_printk", from_save)
            life.resume()
            stop = life.wait(Breakpoint)
            assert isinstance(stop, Breakpoint) and stop.symbol == "_printk"
            assert stop.cpu == 0 and save <= callers[-1] < save + 0x1000
            life.remove_breakpoint(symbols["_printk"])
            life.resume()
            life.wait((PowerOff, Reset, TripleFault))
        assert life.outcome is outcome

        life = boot(machine, "resume")
        with life.stage("restore", BOOT_LIMIT):
            stop = life.run_until_breakpoint(symbols["restore_registers"])
            assert stop.cpu == 0
            life.resume()
            assert life.wait_console("BACK|FRESH").text == f"BACK 0 CPUS {cpus}"
        assert life.outcome is LifeOutcome.RUNNING


@pytest.mark.parametrize(
    ("what", "append", "outcome"),
    [
        ("off", "", LifeOutcome.POWER_OFF_S5),
        ("reboot", "", LifeOutcome.RESET),
        ("reboot", "reboot=kbd", LifeOutcome.RESET),
        ("reboot", "reboot=triple", LifeOutcome.TRIPLE_FAULT),
    ],
)
def test_ways_to_end(bench: Bench, what: str, append: str, outcome: LifeOutcome) -> None:
    with bench.machine(2) as machine:
        life = boot(machine, f"{what} {append}")
        event = life.wait((PowerOff, Reset, TripleFault), BOOT_LIMIT)
        assert life.outcome is outcome
        assert not isinstance(event, PowerOff) or event.state is SleepState.S5


def test_panic(bench: Bench) -> None:
    with bench.machine(2) as machine:
        life = boot(machine, "crash")
        with pytest.raises(GuestPanic, match="Kernel panic - not syncing: sysrq") as caught:
            life.wait((PowerOff, Reset), BOOT_LIMIT)
        seen = next(event for event in life.events() if event.kind == "panic")
        # At once; the margin is for what else this machine is doing.
        assert life.now() - seen.time < 5.0
        # The console's tail is quoted; how far back it reaches depends on how much of the trace
        # has been printed by then.
        assert "\nconsole:\n" in str(caught.value)
        assert "INIT UP" in (life.folder / "console.log").read_text()


def test_hang(bench: Bench) -> None:
    with bench.machine(1) as machine:
        life = boot(machine, "nothing")
        life.wait_console("INIT UP", BOOT_LIMIT)
        with pytest.raises(GuestHang, match="stage idle took longer"), life.stage("idle", 0.5):
            life.wait((PowerOff, Reset))
        assert life.interrupt_controllers().lapics[0]["spiv"] & 0x100  # in use
        assert life.console_problems() == []
        life.resume()
        life.nmi()
        life.wait_console("NMI.*unknown reason", BOOT_LIMIT)
