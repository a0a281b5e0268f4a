# SPDX-License-Identifier: GPL-2.0-or-later
"""The model of the interrupt hand-over against running kernels: a jump and its return, a plain
kexec, a crash. Registers are captured at every step and held against the model's; faults are
injected into the running kernel, and must be blamed on what was spoilt.

JUMPBACK_TEST_KERNEL names another kernel than the catalogue's 6.1.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jumpback_interrupts as ji
import pytest

import kernel
from harness.oracles.interrupt_model import UNSEEN
from harness.tests import handoff_rig
from harness.tests.handoff_rig import Guest, Watch, follow

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

# The functions of the model's steps: at each the machine is stopped.
SUSPEND = ["timekeeping_suspend", "save_ioapic_entries", "i8259A_suspend", "lapic_suspend"]
LEAVE = ["clear_IO_APIC", "restore_boot_irq_mode"]
BACK = ["lapic_resume", "i8259A_resume", "ioapic_resume", "timekeeping_resume"]
SHUTDOWN = ["lapic_shutdown", *LEAVE, "hpet_disable"]
STOP_OTHERS = {"plain kexec": "native_stop_other_cpus", "crash": "kdump_nmi_shootdown_cpus"}
# The next timer's count: nobody can say.
COUNT = "LAPIC TMICT"


@pytest.fixture(scope="module", params=["x86_64", "i386"])
def built(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return handoff_rig.build(handoff_rig.KERNEL, request.param, tmp_path_factory.mktemp("handoff"))


@pytest.fixture
def guest(built: Guest, tmp_path: Path) -> Guest:
    built.folder = tmp_path
    return built


def text(differences: list[ji.Difference]) -> str:
    return "\n".join(map(str, differences))


def functions_of(path: str, machine: ji.Machine) -> list[str]:
    """In order, each once: the parts of a function are one."""
    return list(dict.fromkeys(step.split(":")[0] for step in ji.steps(path, machine)))


def run_steps(path: str, before: ji.Machine) -> ji.Machine:
    model = before.copy()
    for step in ji.steps(path, model):
        model.call(step)
    return model


def check_steps(model: ji.Machine, seen: list[tuple[str, ji.Machine]]) -> None:
    """Each function, from what was captured at its entry, leaves what is captured at the next
    one's. ``model``: the kernel's facts and memory at the first."""
    model = model.copy()
    for (name, start), (following, end) in zip(seen, seen[1:]):
        handoff_rig.take_registers(model, start)
        model.call(name)
        ignored = {COUNT, *UNSEEN}
        differences = [d for d in ji.differences(model, end) if d.register not in ignored]
        assert not differences, f"{name}, until {following}:\n{text(differences)}"


def check_end(expected: ji.Expectation, before: ji.Machine, path: str, found: ji.Machine) -> None:
    differences = ji.compare(expected, found)
    assert not differences, text(differences)
    assert ji.explain(before, path, found)[0] == ""


def test_jump_and_return(guest: Guest) -> None:
    with guest.boot("jump", cpus=2) as watch:
        watch.run_to("syscore_suspend")
        before = watch.capture(with_kernel=True)
        seen = follow(watch, [*SUSPEND, *LEAVE], "page")
        assert [name for name, _ in seen[:-1]] == functions_of("jump", before)
        check_steps(before, seen)
        check_end(ji.at_entry_of_b(before), before, "jump", seen[-1][1])

        watch.run_to("syscore_resume")
        watch.labels["resumed"] = watch.return_address()
        seen = follow(watch, BACK, "resumed")
        assert [name for name, _ in seen[:-1]] == functions_of("return", before)
        check_steps(run_steps("jump", before), seen)
        check_end(ji.at_return_of_a(before), before, "return", seen[-1][1])
        watch.life.resume()
        watch.life.wait_console("jump_once: back")
        watch.life.wait_console("ENDED 0")


@pytest.mark.parametrize("path", ["plain kexec", "crash"])
def test_without_return(guest: Guest, path: str) -> None:
    crash = path == "crash"
    entry = "native_machine_crash_shutdown" if crash else "native_machine_shutdown"
    what, append = ("crash", "crashkernel=32M") if crash else ("plain", "")
    with guest.boot(what, cpus=2, append=append) as watch:
        # Before the 8259's syscore shutdown, where the kernel has that on its way.
        name = watch.run_to(entry) if crash else watch.run_to(entry, "i8259A_shutdown")
        before = watch.capture(with_kernel=True)
        first = [(name, before)] if name == "i8259A_shutdown" else []
        seen = first + follow(watch, [*SHUTDOWN, STOP_OTHERS[path]], "page")
        assert [name for name, _ in seen[:-1]] == functions_of(path, before)
        check_steps(before, seen)
        check_end(ji.at_entry_of_b(before, path), before, path, seen[-1][1])


# Faults in the running kernel. Each gets the machine at the function's entry. On x86_64 only: what
# is injected and what is compared is the same on both.
one_arch = pytest.mark.parametrize("built", ["x86_64"], indirect=True)


def _skip(watch: Watch, name: str) -> None:
    watch.skip()


def _shut_down_after(watch: Watch, name: str) -> None:
    watch.then_call("lapic_shutdown")


def _restore_first(watch: Watch, name: str) -> None:
    """restore_boot_irq_mode() first, then clear_IO_APIC(); the second restore does not run."""
    if name == "clear_IO_APIC" and "moved" not in watch.labels:
        watch.labels["moved"] = 1
        watch.then_call("clear_IO_APIC")
        watch.call_instead("restore_boot_irq_mode")
    elif name == "restore_boot_irq_mode" and watch.labels.get("moved") == 1:
        watch.labels["moved"] = 2
    elif name == "restore_boot_irq_mode":
        watch.skip()


def _leave_pin_0(watch: Watch, name: str) -> None:
    """clear_IO_APIC() goes on to the second pin."""
    if watch.arguments(2) == (0, 0):
        watch.skip()


# id of the model's fault; functions to stop at; what to do there
Injection = tuple[str, list[str], Callable[[Watch, str], None]]
JUMP_FAULTS: list[Injection] = [
    ("R7", LEAVE, _skip),
    ("R7-restore", LEAVE[1:], _skip),
    ("R7-clear", LEAVE[:1], _skip),
    ("R8-shutdown", LEAVE[1:], _shut_down_after),
    ("pin0", ["clear_IO_APIC_pin"], _leave_pin_0),
]


@one_arch
@pytest.mark.parametrize(("fault", "names", "inject"), JUMP_FAULTS)
def test_faults_on_the_way_out(
    guest: Guest, fault: str, names: list[str], inject: Callable[[Watch, str], None]
) -> None:
    with guest.boot("jump") as watch:
        watch.run_to("syscore_suspend")
        before = watch.capture(with_kernel=True)
        if fault == "pin0":
            give_pin_0_a_mode(watch, before)
        seen = follow(watch, names, "page", at=lambda name: inject(watch, name))
        check_blamed(before, "jump", fault, seen[-1][1])


def give_pin_0_a_mode(watch: Watch, before: ji.Machine) -> None:
    """Pin 0 is masked and empty on this board: let the kernel find and mask another one there."""
    watch.run_to("i8259A_suspend")
    handoff_rig.write_saved_rte(watch, 0, 0x28)
    before["IOAPIC 0 RTE 0"] = 0x28


def check_blamed(before: ji.Machine, path: str, fault: str, found: ji.Machine) -> None:
    known = {known.id: known for known in ji.known_faults()}[fault]
    returning = path == "return"
    expected = ji.at_return_of_a(before) if returning else ji.at_entry_of_b(before, path)
    differences = ji.compare(expected, found)
    blamed = [(d.register, d.step) for d in differences]
    assert any(r.startswith(known.register) and s == known.step for r, s in blamed), blamed
    assert fault in ji.explain(before, path, found), text(differences)
    assert "" not in ji.explain(before, path, found)


@one_arch
def test_order_loses_the_wire_through_the_ioapic(guest: Guest) -> None:
    """A board whose 8259 is wired to IOAPIC pin 0, as far as the kernel knows."""
    for spoilt in (False, True):
        with guest.boot("jump") as watch:
            watch.run_to("syscore_suspend")
            pin = guest.symbols.address("ioapic_i8259")
            watch.kernel.write(pin, 0, 4)
            watch.kernel.write(pin + 4, 0, 4)
            before = watch.capture(with_kernel=True)
            assert before.ioapic_i8259 == (0, 0)
            inject = _restore_first if spoilt else lambda watch, name: None
            found = follow(watch, LEAVE, "page", at=lambda name: inject(watch, name))[-1][1]
            found.intr_pin = (0, 0)
            way = ji.can_tick_reach(found).path
            if spoilt:
                check_blamed(before, "jump", "R8-order", found)
                assert way == "none"
            else:
                check_end(ji.at_entry_of_b(before), before, "jump", found)
                assert way == "IOAPIC virtual wire"


@one_arch
@pytest.mark.parametrize("fault", ["R10-pin", "R10-mask", "resume-pic", "resume-lapic"])
def test_faults_on_the_way_back(guest: Guest, fault: str) -> None:
    with guest.boot("jump") as watch:
        watch.run_to("syscore_suspend")
        before = watch.capture(with_kernel=True)
        if fault == "resume-pic":
            # All is masked on this board anyway: let IR2 be open.
            watch.kernel.write(guest.symbols.address("cached_irq_mask"), 0xFFFB, 4)
            before["8259 master IMR"] = 0xFB
            before.cached_irq_mask = 0xFFFB
        if fault == "R10-pin":
            # Something to lose on the last pin; the guest itself has nothing there.
            watch.run_to("i8259A_suspend")
            handoff_rig.write_saved_rte(watch, 23, 0x8031)
            before["IOAPIC 0 RTE 23"] = 0x8031
        watch.run_to("page")
        watch.run_to("syscore_resume")
        watch.labels["resumed"] = watch.return_address()
        if fault == "resume-pic":
            watch.run_to("i8259A_resume")
            watch.skip()
        elif fault == "resume-lapic":
            watch.run_to("lapic_resume")
            watch.skip()
        else:
            watch.run_to("ioapic_resume")
            handoff_rig.spoil_saved_rtes(watch, fault)
        watch.run_to("resumed")
        check_blamed(before, "return", fault, watch.capture())


@one_arch
def test_r9_in_the_register_writes(guest: Guest) -> None:
    """disconnect_bsp_APIC() leaves LVT0 masked; then: does not enable SPIV."""
    write = "native_apic_mem_write"
    for fault, register in (("R9-lvt0", 0x350), ("R9-spiv", 0xF0)):
        with guest.boot("jump") as watch:
            watch.run_to("syscore_suspend")
            before = watch.capture(with_kernel=True)
            watch.run_to("restore_boot_irq_mode")
            with handoff_rig.breakpoints(watch, [write, "page"]):
                while watch.run_to(write, "page") != "page":
                    if watch.arguments(1) == (register,):
                        if fault == "R9-spiv":
                            watch.skip()
                        else:
                            watch.set_register("rsi", watch.register("rsi") | 0x10000)
                found = watch.capture()
            # The write that leaves the mask bit keeps LVT0's mode, on this board as expected.
            check_blamed(before, "jump", fault, found)


def test_a_kernel_that_ships_the_bug_of_2008(tmp_path: Path) -> None:
    """The real thing: 7.2 with the two calls removed, as kernels before 2009 were."""
    title = "7.2+legacy-apic-not-restored"
    states = {listed.version: listed.state for listed in kernel.list_kernels()}
    if states.get(title) is not kernel.State.BUILT:
        pytest.skip(f"{title} is not built: jumpback kernel build {title}")
    guest = handoff_rig.build(title, "x86_64", tmp_path)
    with guest.boot("jump") as watch:
        watch.run_to("syscore_suspend")
        before = watch.capture(with_kernel=True)
        watch.run_to("page")
        found = watch.capture()
        check_blamed(before, "jump", "R7", found)
        answer = ji.can_tick_reach(found)
        assert answer.path == "none"
        assert "LVT0 is masked (0x10000)" in answer.obstacles
        assert "SPIV bit 8 clear (0xff): LAPIC software-disabled" in answer.obstacles
