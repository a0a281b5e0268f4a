# SPDX-License-Identifier: GPL-2.0-or-later
"""The jump sequence on running kernels: the order of a jump, and the 2008-2025 unwinding bug, where
dpm_suspend_start() fails and devices are left suspended (docs/findings/unwinding-label.md).

sequence-check finds the same without a boot.
"""

from __future__ import annotations

from pathlib import Path

import jumpback_jump as jj
import jumpback_sequence as js
import pytest

import kernel
from harness.tests import handoff_rig
from harness.tests.handoff_rig import Guest, Watch

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

EIO = 5


def build(name: str, arch: str, folder: Path) -> Guest:
    built = [row for row in kernel.list_kernels() if row.state is kernel.State.BUILT]
    if name != "6.1-stock" and (name, arch) not in {(row.version, row.arch) for row in built}:
        pytest.skip(f"{name} is not built: jumpback kernel build {name}")
    return handoff_rig.build(name, arch, folder)


def suspended_devices(watch: Watch) -> int:
    """Devices on dpm_suspended_list (drivers/base/power/main.c)."""
    head = watch.kernel.address("dpm_suspended_list")
    count, at = 0, watch.kernel.at(head, watch.guest.word)
    while at != head:
        count += 1
        assert count < 10000, "the list has no end"
        at = watch.kernel.at(at, watch.guest.word)
    return count


@pytest.mark.parametrize(("name", "arch"), [("6.1", "x86_64"), ("6.1", "i386"), ("7.2", "x86_64")])
def test_a_real_jump_makes_the_steps_that_the_emulated_one_made(
    tmp_path: Path, name: str, arch: str
) -> None:
    """What sequence-check sees on its emulated CPU, every call answered by script, against a jump
    that is made: the same calls in the same order."""
    guest = build(name, arch, tmp_path)
    emulated = js.Sequence(guest.symbols.path)
    steps = [step.symbol for step in emulated.run().trace.steps]
    inside = [step.symbol for step in emulated.run_machine().trace.steps]
    at = steps.index("machine_kexec") + 1
    wanted = [symbol for symbol in steps[:at] + inside + steps[at:] if symbol]
    callers = [
        range(address, address + size)
        for function in ("kernel_kexec", "machine_kexec")
        for address, size in guest.symbols.all(function)
    ]
    with guest.boot("jump", cpus=2) as watch:
        watch.run_to("kernel_kexec")
        watch.labels["left"] = watch.return_address()
        made: list[str] = []
        with handoff_rig.breakpoints(watch, [*wanted, "left"]):
            while (symbol := watch.run_to(*wanted, "left")) != "left":
                if any(watch.return_address() in caller for caller in callers):
                    made.append(symbol)
        assert made == wanted
        assert watch.register("rax") & 0xFFFFFFFF == 0


@pytest.mark.parametrize(
    ("name", "arch"),
    [("6.1-stock", "x86_64"), ("7.2", "x86_64"), ("7.2+unwinding-label", "x86_64")],
)
def test_devices_after_a_refusal(tmp_path: Path, name: str, arch: str) -> None:
    fault = jj.known_faults()[1]
    assert fault.name == "2008-2025 unwinding bug"
    guest = build(name, arch, tmp_path)
    with guest.boot("jump") as watch:
        watch.run_to("kernel_kexec")
        watch.labels["left"] = watch.return_address()
        watch.run_to("dpm_suspend_start")
        assert suspended_devices(watch) == 0
        watch.labels["refused"] = watch.return_address()
        watch.run_to("refused")
        suspended = suspended_devices(watch)
        assert suspended > 10
        # As if the last device had refused to freeze.
        watch.set_register("rax", -EIO % (1 << 8 * guest.word))
        watch.run_to("left")
        assert watch.register("rax") & 0xFFFFFFFF == -EIO % (1 << 32)
        left = suspended_devices(watch)
        print(f"{guest.release} {arch}: {suspended} devices suspended, {left} of them for good")
        buggy = name in ("6.1-stock", "7.2+unwinding-label")
        assert buggy or not fault.known_in(guest.release)
        assert left == (suspended if buggy else 0)
        if not buggy:  # the serial port may be among those that stay suspended
            watch.life.resume()
            watch.life.wait_console("ENDED [1-9]")
