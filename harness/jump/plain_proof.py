# SPDX-License-Identifier: GPL-2.0-or-later
"""An ordinary kexec at its two stops: P0, relocate_kernel's first instruction, and P1, the entry of
the kernel that takes the machine over. Nothing comes back, so nothing is kept: memory at P1 is the
image's, the registers are cleared, and the word that would be the way back is zero.
"""

from __future__ import annotations

import time
from dataclasses import replace

import jumpback_relocation as relocation

from harness.context import RunContext
from harness.errors import InfraError
from harness.jump.departure import Departure, Stops, cpu_state, read_departure
from harness.jump.side import CALLEE_ENTRY, CPU_ORACLE, DEPARTURE, PAGE, Side
from harness.kexec.kimage_struct import installed, read_as_is
from harness.machine import Life
from harness.machine.registers import Registers
from harness.oracles.jump_cpu import CpuChecks
from harness.oracles.jump_memory import JumpMemory, MemoryChecks
from harness.results import Check, Finding, RuleUse

_REGISTERS = 30  # that the model compares, about: 15 cleared ones, rip, flags, CRs, tables, words


class PlainProof:
    """Of one life, in which A leaves for good. ``close`` gives its captures back."""

    def __init__(self, context: RunContext, life: Life) -> None:
        self._context = context
        self._life = life
        self._memory = JumpMemory(life, context.folder)
        self._address = 0
        self.registers: Registers | None = None  # at P1

    def close(self) -> None:
        self._memory.close()

    def arm(self, side: Side) -> None:
        """A breakpoint at P0. ``side`` must run, its image must be loaded."""
        with self._life.paused():
            image = read_as_is(side.view, installed(side.view))
            self._address = Stops.of(side, image).departure
            self._life.add_breakpoint(self._address, "relocate_kernel")
        self._memory.prepare()

    def depart(self, side: Side) -> Departure:
        """To P0."""
        cpu = self._life.run_until_breakpoint(self._address).cpu
        self._life.remove_breakpoint(self._address)
        registers = self._life.registers(cpu)
        capture = self._memory.capture()
        controllers = self._life.interrupt_controllers()
        departure = read_departure(side, 1, registers, controllers, capture, self._memory.regions)
        checks = _Memory(departure, self._life.record.index, 0)
        for check in checks.at_departure():
            self._context.record(check)
        self._context.record(_Cpu(departure, self._life.record.index, 0).at_departure())
        return departure

    def run_to_entry(self, departure: Departure) -> None:
        """To P1."""
        start = departure.arguments.start
        self._life.add_breakpoint(start, "the callee's entry")
        self._life.run_until_breakpoint(start)
        self._life.remove_breakpoint(start)

    def at_entry(self, departure: Departure) -> None:
        """Stands at P1."""
        registers = self._life.registers(departure.cpu)
        now = self._memory.now()
        life = self._life.record.index
        self._context.record(_Memory(departure, life, 0).at_entry(now))
        self._context.record(_Cpu(departure, life, 0).at_entry(registers, now))

    def contents(self, name: str, gpa: int, data: bytes) -> None:
        """What the user gave stands where it was to go, and zeros behind it to the page's end."""
        wanted = data + bytes(-len(data) % PAGE)
        check = Check(f"{name} stands at {gpa:#x}", "jump-memory", True)
        check.compared = len(wanted) // PAGE
        try:
            found = self._memory.now().read(gpa, len(wanted))
        except relocation.RelocationError as error:
            raise InfraError(f"{name} at {gpa:#x}: {error}") from error
        if found != wanted:
            at = next(i for i, (a, b) in enumerate(zip(wanted, found)) if a != b)
            check.passed, check.detail = False, f"{name} differs at byte {at:#x}"
            check.findings.append(
                Finding(
                    "jump-memory",
                    CALLEE_ENTRY,
                    check.detail,
                    life=self._life.record.index,
                    gpa=gpa + at,
                    pfn=(gpa + at) // PAGE,
                    owner=name,
                    expected=wanted[at : at + 16],
                    found=found[at : at + 16],
                )
            )
        self._context.record(check)


class _Memory(MemoryChecks):
    """Without preserved context: from 6.14 on x86_64 a page is copied from its source and nothing
    else happens; before, and on i386, the same three copies are made as for a jump."""

    def at_entry(self, now: relocation.Ram) -> Check:
        departure = self._departure
        began = time.monotonic()
        check = self._check("memory at the callee's entry is the image's")
        kernel, moves = departure.side.kernel, departure.moves
        allowed = kernel.allowances(departure.places, "there", len(moves) > 0, False)
        allowed += departure.stack_below
        if kernel.abi == "flags":
            self._compare(check, CALLEE_ENTRY, now, moves, moves.sources, allowed)
            rules, detail = check.rules, check.detail
            others = moves.sources.others(now)
            self._compare(check, CALLEE_ENTRY, now, relocation.Moves(), others, allowed)
            check.rules = add_uses(rules, check.rules)
            check.detail = "; ".join(dict.fromkeys(filter(None, [detail, check.detail])))
        else:
            follow = moves.follow(allowed)
            self._compare(check, CALLEE_ENTRY, now, moves, relocation.Frames(), follow)
        check.seconds = time.monotonic() - began
        return check


def add_uses(first: list[RuleUse], second: list[RuleUse]) -> list[RuleUse]:
    """Of two comparisons that make one check."""
    uses = {rule.name: rule for rule in first}
    for rule in second:
        before = uses[rule.name].uses if rule.name in uses else 0
        uses[rule.name] = replace(rule, uses=before + rule.uses)
    return list(uses.values())


class _Cpu(CpuChecks):
    def at_departure(self) -> Check:
        departure = self._departure
        arguments, image = departure.arguments, departure.image
        wanted = [
            ("image->head", image.head, arguments.head),
            ("image->start", image.start, arguments.start),
            ("preserve_context", 0, int(arguments.preserve)),
            ("control page", departure.stops.control_page, arguments.control_page),
        ]
        name = "relocate_kernel is called with the image's pages, and nothing to keep"
        check = Check(name, CPU_ORACLE, True, compared=len(wanted))
        for item, want, got in wanted:
            if want != got:
                text = f"{item}: expected {want:#x}, found {got:#x}"
                self._add(check, DEPARTURE, text, item, want, got)
        return check

    def at_entry(self, now: Registers, ram: relocation.Ram) -> Check:
        departure = self._departure
        found = departure.side.kernel.check_callee_entry(
            departure.places,
            start=departure.arguments.start,
            preserve=False,
            has_pae=departure.arguments.has_pae,
            at_call=departure.state,
            found=cpu_state(now),
            ram=ram,
        )
        check = Check("registers and the word for the way back are cleared", CPU_ORACLE, True)
        check.compared = _REGISTERS
        self._judge(check, CALLEE_ENTRY, found)
        return check
