# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracles of steps and of interrupt controllers on kernels that really jump: right ones pass,
and each fault that is put into the running kernel is blamed on what was spoilt.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jumpback_jump as jj
import pytest

from harness.context import RunContext
from harness.jump.sockets import one_cpu_a_socket
from harness.oracles.jump_interrupts import InterruptProof, KernelSide
from harness.oracles.jump_trace import TraceRecorder
from harness.results import Check
from harness.tests import handoff_rig
from harness.tests.handoff_rig import Guest, Watch

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

EIO = 5
LVT0 = 0x350  # offset of the register
MASK = 1 << 16
SERIAL = 4  # the IOAPIC's pin of IRQ 4


@pytest.fixture
def guest(request: Any, tmp_path: Path) -> Guest:
    name, arch = getattr(request, "param", ("6.1", "x86_64"))
    return handoff_rig.build(name, arch, tmp_path)


def recorder_of(watch: Watch) -> TraceRecorder:
    guest = watch.guest
    return TraceRecorder(watch.life, guest.symbols, guest.arch, guest.release)


def proof_of(watch: Watch, path: str = "jump") -> InterruptProof:
    guest = watch.guest
    side = SimpleNamespace(symbols=guest.symbols, release=guest.release, arch=guest.arch)
    context = SimpleNamespace(record=lambda check: check)
    return InterruptProof(cast(RunContext, context), watch.life, cast(KernelSide, side), path)


def blamed(check: Check) -> dict[str, str]:
    """Register: what is said of it."""
    assert not check.passed
    return {finding.owner or "": finding.message for finding in check.findings}


KERNELS = [("6.1", "x86_64"), ("6.1", "i386"), ("7.2", "x86_64")]
USUAL = [
    pytest.param(("6.1", "x86_64"), 2, "", id="6.1"),
    pytest.param(("6.1", "i386"), 2, "acpi=off", id="6.1-i386-acpi-off"),
]
# All the others: kernels, CPUs, ACPI.
REST = [
    pytest.param(kernel, cpus, append, marks=pytest.mark.full)
    for kernel in [*KERNELS, ("6.1-stock", "x86_64"), ("5.10", "x86_64"), ("6.12", "x86_64")]
    for cpus in (1, 2)
    for append in ("", "acpi=off")
]


@pytest.mark.parametrize(("guest", "cpus", "append"), [*USUAL, *REST], indirect=["guest"])
def test_a_jump_and_its_return(guest: Guest, cpus: int, append: str) -> None:
    sockets = one_cpu_a_socket(cpus) if append else ()
    with guest.boot("jump", cpus=cpus, append=append, extra=sockets) as watch:
        recorder, proof = recorder_of(watch), proof_of(watch)
        recorder.start()
        proof.run_to_suspend()
        checks = [proof.before_suspend()]
        watch.run_to("page")
        checks += [proof.at_departure(), proof.at_entry()]
        proof.run_to_resumed()
        checks.append(proof.after_resume())
        watch.life.resume()
        watch.life.wait_console("ENDED 0")
        trace = recorder.stop()
        checks.append(recorder.check(trace))
        for check in checks:
            assert check.passed, check.findings
            assert check.compared
        assert "by the LAPIC virtual wire" in checks[2].detail
        # A payload that returns without another entry is entered there again.
        assert trace.reentry is not None and len(trace.steps) > 20
        known = {step.step for step in trace.steps if step.argument is not None}
        assert {"suspend-devices", "resume-devices"} <= known


def _mask_lvt0(watch: Watch) -> None:
    """disconnect_bsp_APIC() leaves the mask bit in LVT0."""
    watch.run_to("restore_boot_irq_mode")
    while True:
        watch.run_to("native_apic_mem_write")
        if watch.arguments(1) == (LVT0,):
            watch.set_register("rsi", watch.register("rsi") | MASK)
            return


def _leave_pin_unmasked(watch: Watch) -> None:
    """lapic_suspend() does not mask the pins, and clear_IO_APIC() passes one over."""
    watch.run_to("mask_ioapic_entries")
    watch.skip()
    while True:
        watch.run_to("clear_IO_APIC_pin")
        if watch.arguments(2) == (0, SERIAL):
            watch.skip()
            return


def test_lvt0_left_masked(guest: Guest) -> None:
    with guest.boot("jump") as watch:
        proof = proof_of(watch)
        proof.run_to_suspend()
        proof.before_suspend()
        _mask_lvt0(watch)
        watch.run_to("page")
        said = blamed(proof.at_departure())
        assert list(said) == ["LAPIC LVT0"]
        assert (
            "restore_boot_irq_mode: LVT0" in said["LAPIC LVT0"] and "R9-lvt0" in said["LAPIC LVT0"]
        )
        assert "LVT0 is masked" in blamed(proof.at_entry())[""]


@pytest.mark.full
def test_a_pin_left_unmasked(guest: Guest) -> None:
    with guest.boot("jump") as watch:
        proof = proof_of(watch)
        proof.run_to_suspend()
        proof.before_suspend()
        _leave_pin_unmasked(watch)
        watch.run_to("page")
        said = blamed(proof.at_departure())
        assert list(said) == [f"IOAPIC 0 RTE {SERIAL}"]
        assert "clear_IO_APIC" in said[f"IOAPIC 0 RTE {SERIAL}"]
        # The tick has another way.
        assert proof.at_entry().passed


@pytest.mark.full
def test_one_pin_not_restored(guest: Guest) -> None:
    with guest.boot("jump") as watch:
        proof = proof_of(watch)
        proof.run_to_suspend()
        before = proof.before_suspend()
        watch.run_to("page")
        assert before.passed and proof.at_departure().passed
        watch.run_to("ioapic_resume")
        handoff_rig.write_saved_rte(watch, SERIAL, MASK)
        # At the end of the same call of syscore_resume().
        watch.run_to("timekeeping_resume")
        watch.labels["resumed"] = _resumed(watch)
        watch.run_to("resumed")
        said = blamed(proof.after_resume())
        assert list(said) == [f"IOAPIC 0 RTE {SERIAL}"]
        assert "ioapic_resume has to set it" in said[f"IOAPIC 0 RTE {SERIAL}"]


def _resumed(watch: Watch) -> int:
    """Where syscore_resume() returns to: kernel_kexec() enables interrupts there."""
    sites = recorder_of(watch)._sites.at
    return next(
        address
        for address, each in sites.items()
        if any(site.step == "enable-irqs" for site in each)
    )


@pytest.mark.full
def test_controllers_that_change_on_the_way(guest: Guest) -> None:
    """Between relocate_kernel and the callee's first instruction."""
    with guest.boot("jump") as watch:
        proof = proof_of(watch)
        proof.run_to_suspend()
        proof.before_suspend()
        watch.run_to("page")
        assert proof.at_departure().passed
        watch.monitor("o /b 0xa1 0xfe")  # the second 8259's mask
        said = blamed(proof.at_entry())
        assert "changed since relocate_kernel" in said["8259 slave IMR"]


@pytest.mark.full
def test_the_way_out_of_a_failing_step(guest: Guest) -> None:
    scenario = jj.Scenario(failing="suspend-devices-late", error=-EIO)
    with guest.boot("jump") as watch:
        recorder = recorder_of(watch)
        recorder.start()
        watch.run_to("dpm_suspend_end")
        watch.set_register("rax", -EIO % (1 << 8 * guest.word))
        watch.skip()
        watch.life.resume()
        watch.life.wait_console("ENDED [1-9]")
        trace = recorder.stop()
        assert recorder.check(trace, scenario).passed
        assert trace.returned == -EIO and not trace.entered_machine
        # That nothing had failed is not what this trace shows.
        check = recorder.check(trace)
        assert [finding.stage for finding in check.findings] == ["suspend-devices-late"]


def test_a_step_that_is_passed_over(guest: Guest) -> None:
    with guest.boot("jump") as watch:
        recorder = recorder_of(watch)
        recorder.start()
        watch.run_to("save_processor_state")
        # Back behind the next call: clear_IO_APIC() never runs.
        sites = recorder._sites.at
        (call,) = (a for a, each in sites.items() if each[0].step == "clear-io-apic")
        watch.life.add_breakpoint(call)
        watch.life.run_until_breakpoint(call)
        watch.set_register("rip", call + 5)
        watch.life.remove_breakpoint(call)
        watch.run_to("page")
        check = recorder.check(recorder.stop())
        assert "clear-io-apic" in {finding.stage for finding in check.findings}
