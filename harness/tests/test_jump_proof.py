# SPDX-License-Identifier: GPL-2.0-or-later
"""The proof of a jump on running kernels: each stop holds, and sees each fault that is put in
there, where it was put in.

The guest is that of the hand-over tests: one page is called, and returns at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import kernel
from harness.context import RunContext
from harness.jump import proof as stops
from harness.jump.departure import Departure
from harness.jump.page_walk import PageTables
from harness.jump.proof import JumpProof, NotReached
from harness.jump.side import CALLEE, CALLEE_ENTRY, DEPARTURE, PAGE, RETURN, Side
from harness.kexec.guest_view import GuestView
from harness.machine.events import UnexpectedEnd
from harness.machine.registers import Registers
from harness.oracles.jump_cpu import CpuChecks
from harness.oracles.jump_memory import MemoryChecks
from harness.results import Check, Finding
from harness.tests import handoff_rig
from harness.tests.handoff_rig import Guest, Watch

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

BUILT = {
    (row.version, row.arch) for row in kernel.list_kernels() if row.state is kernel.State.BUILT
}
COMPARED = 0x10000  # pages of 256 MiB


class Rig:
    """One life with its proof. ``fixed``: as the catalogue says, unless given."""

    def __init__(self, guest: Guest, watch: Watch, spec: str, fixed: frozenset[str] | None) -> None:
        self.life = watch.life
        self.checks: list[Check] = []
        context = SimpleNamespace(folder=guest.folder, record=self.checks.append)
        self.proof = JumpProof(cast(RunContext, context), watch.life)
        known = kernel.resolve(spec, guest.arch).fixed if fixed is None else fixed
        view = GuestView(watch.life, guest.symbols)
        self.side = Side("A", guest.symbols, view, guest.release, known)

    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.passed]

    def findings(self) -> list[Finding]:
        return [finding for check in self.checks for finding in check.findings]

    def memory(self, departure: Departure) -> MemoryChecks:
        return MemoryChecks(departure, 1, 0)

    @contextlib.contextmanager
    def changed(self, gpa: int, bits: int = 1) -> Iterator[int]:
        """The byte there is another one inside."""
        was = self.life.read_physical(gpa, 1)[0]
        self.life.ram.write(gpa, bytes([was ^ bits]))
        yield gpa
        self.life.ram.write(gpa, bytes([was]))


@contextlib.contextmanager
def rig(
    spec: str, arch: str, folder: Path, *, loaded: bool = True, fixed: frozenset[str] | None = None
) -> Iterator[Rig]:
    if spec != "6.1" and (spec, arch) not in BUILT:
        pytest.skip(f"{spec} is not built: jumpback kernel build {spec} --arch {arch}")
    guest = handoff_rig.build(spec, arch, folder)
    with guest.boot("jump") as watch:
        if loaded:
            watch.run_to("kernel_kexec")
        made = Rig(guest, watch, spec, fixed)
        yield made
        made.proof.close()


def expect(check: Check, stage: str, gpa: int, owner: str = "") -> None:
    """One finding, of the byte there, and blamed on that stage."""
    assert not check.passed
    (finding,) = check.findings
    assert (finding.stage, finding.gpa, finding.pfn) == (stage, gpa, gpa // PAGE)
    assert finding.differing_bytes == 1
    assert finding.expected is not None and finding.found is not None
    assert finding.expected[0] ^ finding.found[0] == 1
    assert owner in (finding.owner or ""), finding.owner


def text(rig: Rig) -> str:
    return "\n".join(f"{each.stage}: {each.message}, {each.owner}" for each in rig.findings())


@pytest.mark.parametrize(
    ("spec", "arch"),
    [
        ("7.2", "x86_64"),
        pytest.param("5.10", "x86_64", marks=pytest.mark.full),
        pytest.param("6.12", "x86_64", marks=pytest.mark.full),
        pytest.param("7.3", "x86_64", marks=pytest.mark.full),
    ],
)
def test_a_jump_there_and_back_is_proved(tmp_path: Path, spec: str, arch: str) -> None:
    with rig(spec, arch, tmp_path) as made:
        jump(made)
        assert not made.failed(), text(made)
        made.life.resume()
        made.life.wait_console("jump_once: back")


def jump(made: Rig) -> Departure:
    proof = made.proof
    proof.arm(made.side)
    departure = proof.depart(made.side)
    proof.enter(departure)
    proof.reenter(departure)
    proof.arrive(departure)
    compared = [check.compared for check in made.checks if "memory" in check.name]
    assert compared == [COMPARED, COMPARED - 1, COMPARED - 1]
    return departure


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_every_stop_sees_what_was_changed_there(tmp_path: Path, arch: str) -> None:
    """At each stop: it holds; with a byte changed it does not; with the byte put back it does."""
    with rig("6.1", arch, tmp_path) as made:
        proof = made.proof
        proof.arm(made.side)
        departure = proof.depart(made.side)
        (destination, source), *_ = departure.pairs
        control = departure.arguments.control_page
        banner = physical(made, "linux_banner")
        arguments_at_departure(departure)

        proof.enter(departure)
        checks = made.memory(departure)

        def at_entry() -> Check:
            return checks.at_entry(proof.memory.now())

        with made.changed(destination + 0x123) as gpa:  # a byte of the image was lost on the way
            expect(at_entry(), CALLEE_ENTRY, gpa, "image")
        with made.changed(source + 0x456) as gpa:  # of A's page that makes room for it
            expect(at_entry(), CALLEE_ENTRY, gpa, f"{destination + 0x456:#x} at the departure")
        with made.changed(banner + 3) as gpa:
            expect(at_entry(), CALLEE_ENTRY, gpa, "linux_banner+0x3")
        with made.changed(control + 4) as gpa:
            expect(at_entry(), CALLEE_ENTRY, gpa, "control code page")
        assert at_entry().passed
        registers_at_entry(made, departure)

        proof.reenter(departure)

        def at_return_point() -> list[Check]:
            return checks.at_return_point(proof.memory.now())

        with made.changed(banner + 3) as gpa:  # what is not the callee's
            expect(at_return_point()[0], CALLEE, gpa, "linux_banner+0x3")
        with made.changed(source + 0x456) as gpa:  # A's page that makes room for the callee
            expect(at_return_point()[0], CALLEE, gpa)
        with made.changed(control + 0x808) as gpa:  # a word that relocate_kernel needs to return
            left, untouched = at_return_point()
            assert left.passed  # as relocate_kernel itself has written it since the departure
            expect(untouched, CALLEE, gpa, "control code page")
        with made.changed(destination + 0x123):  # its own
            assert all(check.passed for check in at_return_point())
        assert all(check.passed for check in at_return_point())

        fault = {"at": banner + 3}

        def break_at_return(stop: str) -> None:
            if stop == stops.AT_MAPPED:
                with made.changed(fault["at"]) as changed:
                    expect(at_return()[0], RETURN, changed, "linux_banner+0x3")
                with made.changed(destination + 0x456) as changed:
                    expect(at_return()[0], RETURN, changed, "destination of the image")
                with made.changed(source + 0x123) as changed:  # what the callee has left
                    expect(at_return()[1], RETURN, changed, "image's source page")

        def at_return() -> list[Check]:
            return checks.at_return(proof.memory.now())

        proof.at_stop = break_at_return
        proof.arrive(departure)
        assert not made.failed(), text(made)


def physical(made: Rig, symbol: str) -> int:
    return made.side.view.kernel.translate(made.side.symbols.address(symbol))[0]


def arguments_at_departure(departure: Departure) -> None:
    assert CpuChecks(departure, 1, 0).at_departure().passed
    given = departure.arguments
    for owner, spoilt in (
        ("image->head", replace(departure, arguments=replace(given, head=given.head ^ PAGE))),
        ("image->start", replace(departure, arguments=replace(given, start=given.start ^ 8))),
        ("preserve_context", replace(departure, arguments=replace(given, preserve=False))),
        ("swap page", replace(departure, arguments=replace(given, swap_page=0))),
        ("GDT kept in saved_context", replace(departure, gdt_kept=False)),
    ):
        (finding,) = CpuChecks(spoilt, 1, 0).at_departure().findings
        assert (finding.owner, finding.stage) == (owner, DEPARTURE)


def registers_at_entry(made: Rig, departure: Departure) -> None:
    now = made.life.registers(departure.cpu)
    checks = CpuChecks(departure, 1, 0)
    ram = made.proof.memory.now()
    assert checks.at_entry(now, ram).passed
    narrow = made.side.arch == "i386"
    for item, spoilt in (
        ("cr4", with_control(now, "cr4", 1 << 20)),
        ("cr0", with_control(now, "cr0", 1 << 16)),
        ("eflags" if narrow else "rflags", replace(now, eflags=now.eflags | 1 << 10)),
        ("edx" if narrow else "rdx", with_general(now, "rdx", 8)),
        ("gdtr.limit", replace(now, gdtr=replace(now.gdtr, limit=now.gdtr.limit ^ 1))),
        ("ds", replace(now, selectors={**now.selectors, "ds": 0})),
    ):
        check = checks.at_entry(spoilt, ram)
        assert [(finding.owner, finding.stage) for finding in check.findings] == [
            (item, CALLEE_ENTRY)
        ]


def with_control(registers: Registers, name: str, bits: int) -> Registers:
    control = registers.control
    return replace(registers, control={**control, name: control[name] ^ bits})


def with_general(registers: Registers, name: str, bits: int) -> Registers:
    general = registers.general
    return replace(registers, general={**general, name: general[name] ^ bits})


def test_registers_at_the_return(tmp_path: Path) -> None:
    """The machine's own, changed in the machine."""

    def spoil(stop: str) -> None:
        if stop == stops.AT_C:
            for name, bits in (("rbx", 1), ("cr4", 1 << 16), ("r13", 1 << 63)):
                now = made.life.registers(0).all[name]
                made.life.write_register(0, name, now ^ bits)

    with rig("6.1", "x86_64", tmp_path) as made:
        made.proof.at_stop = spoil
        jump(made)
        assert [check.name for check in made.failed()] == ["registers at A's return"]
        blamed = {(finding.owner, finding.stage) for finding in made.findings()}
        assert blamed == {(name, RETURN) for name in ("rbx", "cr4", "r13")}, text(made)


def test_a_stock_kernel_shows_its_known_defects(tmp_path: Path) -> None:
    """It leaves with the GDT that the callee has loaded, and takes the word above the swap page for
    its next entry."""
    with rig("6.1-stock", "x86_64", tmp_path) as made:
        jump(made)
        assert [check.name for check in made.failed()] == ["registers at A's return"], text(made)
        found = {finding.owner: finding.message for finding in made.findings()}
        assert found.keys() == {"gdtr.base", "re-entry word"}
        assert "known defect B7" in found["gdtr.base"]
        assert "docs/findings/gdt-not-reloaded.md" in found["gdtr.base"]
        assert "docs/findings/no-reentry-slot.md" in found["re-entry word"]
        entered = next(check for check in made.checks if check.name.startswith("registers at the"))
        assert "no-reentry-slot" in entered.detail


@pytest.mark.full
def test_a_defect_that_is_said_to_be_mended_is_no_known_one(tmp_path: Path) -> None:
    fixed = frozenset({"gdt-not-reloaded", "no-reentry-slot"})
    with rig("6.1-stock", "x86_64", tmp_path, fixed=fixed) as made:
        jump(made)
        found = {finding.owner: finding.message for finding in made.findings()}
        assert "which this kernel should not have" in found["gdtr.base"]
        assert "which this kernel should not have" in found["rsp"]
        assert not any("known defect" in message for message in found.values())


def test_nothing_to_jump_to_and_nothing_mapped(tmp_path: Path) -> None:
    """Without an image there is no departure; with page tables that map nothing the kernel dies on
    its way, which was to be seen before."""
    with rig("6.1", "x86_64", tmp_path, loaded=False) as made:
        with pytest.raises(NotReached, match="no image"):
            made.proof.arm(made.side)
        (check,) = made.failed()
        assert check.findings[0].stage == DEPARTURE
        made.checks.clear()

        def unmap(stop: str) -> None:
            if stop == stops.AT_DEPARTURE:
                page_list = made.life.registers(0).general["rsi"]
                table = int.from_bytes(made.life.read_virtual(page_list + 16, 8), "little")
                made.life.ram.write(table, bytes(8))  # the PGD's entry for the first 512 GiB

        made.life.run_until_breakpoint(made.side.symbols.address("kernel_kexec"))
        made.proof.at_stop = unmap
        departure = made.proof.depart(made.side)
        (check,) = made.failed()
        assert check.name == "A's kexec page tables map what the jump needs"
        assert {finding.owner for finding in check.findings} >= {"control page", "image->start"}
        with pytest.raises(UnexpectedEnd, match="triple-faulted"):
            made.proof.enter(departure)
        assert made.failed()[-1].name == "the callee's entry is reached"
        assert made.failed()[-1].findings[0].stage == CALLEE_ENTRY


def test_a_broken_list_is_found_before_it_is_followed(tmp_path: Path) -> None:
    """The image's page is also that of another destination: kexec_load makes no such list."""

    def break_list(stop: str) -> None:
        if stop == stops.AT_DEPARTURE:
            head = made.life.registers(0).general["rdi"] & ~(PAGE - 1)
            destination, source, done = (
                int.from_bytes(made.life.read_physical(head + 8 * word, 8), "little")
                for word in range(3)
            )
            again = (destination + PAGE, source, done)
            for word, value in enumerate(again, 2):
                made.life.ram.write(head + 8 * word, value.to_bytes(8, "little"))

    with rig("6.1", "x86_64", tmp_path) as made:
        made.proof.at_stop = break_list
        departure = made.proof.depart(made.side)
        (check,) = made.failed()
        assert check.name == "A's page list is well formed at the departure"
        assert check.findings[0].stage == DEPARTURE
        assert len(departure.pairs) >= 1
        made.proof.enter(departure)  # whatever that does to memory, it is judged
        assert "registers at the callee's entry" in [check.name for check in made.checks]


NO_RAM = 0x700000000


def test_what_is_no_ram_is_found_and_not_followed(tmp_path: Path) -> None:
    """A table of kexec_load's, the control page, the callee's stack."""

    def no_stack(stop: str) -> None:
        if stop == stops.AT_ENTRY:
            made.life.write_register(0, "rsp", NO_RAM)

    with rig("6.1", "x86_64", tmp_path) as made:
        made.proof.at_stop = no_stack
        departure = made.proof.depart(made.side)
        assert not made.failed(), text(made)
        root, now = departure.arguments.table_root, made.proof.memory.now()
        tables = PageTables(now, root, made.side.arch, departure.registers)
        assert tables.walk(departure.arguments.start).gpa == departure.arguments.start
        was = made.life.read_physical(root, 8)
        made.life.ram.write(root, (NO_RAM | 3).to_bytes(8, "little"))
        lost = tables.walk(departure.arguments.start)
        assert lost.gpa is None and lost.tables == (root, NO_RAM)
        made.life.ram.write(root, was)
        departure.arguments = replace(departure.arguments, control_page=NO_RAM)
        with pytest.raises(NotReached, match=f"stack is no RAM: {NO_RAM:#x}"):
            made.proof.enter(departure)
        found = {(each.owner, each.stage): each.message for each in made.findings()}
        assert found["control page", CALLEE_ENTRY] == "the control page is no RAM"
        assert "is no RAM" in found["rsp", CALLEE_ENTRY]


INT3, RET, UD2 = b"\xcc", b"\xc3", b"\x0f\x0b"


@pytest.mark.parametrize(
    ("stage", "stop", "vector"),
    [
        (CALLEE_ENTRY, stops.AT_ENTRY, 14),
        pytest.param(CALLEE, stops.AT_RETURN_POINT, 6, marks=pytest.mark.full),
        (RETURN, stops.AT_MAPPED, 14),
    ],
)
def test_an_exception_that_the_debug_idt_catches_is_no_hang(
    tmp_path: Path, stage: str, stop: str, vector: int
) -> None:
    """From 6.16 on the CPU would halt there, and the stage would wait out its limit."""
    with rig("7.2", "x86_64", tmp_path) as made:
        departure = made.proof.depart(made.side)
        start = departure.arguments.start
        with pytest.raises(NotReached, match=f"{stop} .* was not reached: exception {vector} at"):
            if stage == CALLEE_ENTRY:
                unmap_start(made, departure)
            made.proof.enter(departure)
            # An int3 returns, and nobody hears of it.
            made.life.write_virtual(start, INT3 + (UD2 if stage == CALLEE else RET))
            made.proof.reenter(departure)
            assert not made.failed(), text(made)
            unmap_start(made, departure)
            made.proof.arrive(departure)
        (check,) = made.failed()
        (finding,) = check.findings
        assert (finding.oracle, finding.stage, finding.owner) == ("jump-cpu", stage, stop)
        if vector == 14:
            assert f"CR2 {start:#x}" in finding.message
        else:
            assert f"RIP {start + 1:#x}" in finding.message


def unmap_start(made: Rig, departure: Departure) -> None:
    """In the tables of kexec_load: the 2 MiB with the image's start."""
    start, root = departure.arguments.start, departure.arguments.table_root
    ram = made.proof.memory.now()
    tables = PageTables(ram, root, made.side.arch, departure.registers)
    last = tables.walk(start).tables[-1]
    made.life.ram.write(last + (start >> 21) % 512 * 8, bytes(8))
    assert tables.walk(start).gpa is None
