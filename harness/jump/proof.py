# SPDX-License-Identifier: GPL-2.0-or-later
"""A kexec jump from stop to stop, with all of RAM and the CPU proved at each.

    proof.arm(a)                    a breakpoint at P0, before the guest is told to jump
    departure = proof.depart(a)     P0: the capture that everything is judged by
    proof.enter(departure)          P1: the callee's first instruction
    proof.reenter(departure)        P2: the callee is back at the return point
    proof.arrive(departure)         P3, and back in machine_kexec()

The methods of two kernels' jumps alternate: B's way back to A is a departure of its own, whose P1
is A's P2, so ``enter`` of B's and then ``reenter`` of A's look at the same stop. After ``arrive`` a
departure is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jumpback_relocation as relocation

from harness.context import RunContext
from harness.errors import InfraError
from harness.jump.departure import Departure, Stops, read_departure
from harness.jump.exceptions import DebugIdt
from harness.jump.page_walk import read_ram
from harness.jump.side import CALLEE, CALLEE_ENTRY, CPU_ORACLE, DEPARTURE, PAGE, RETURN, Side
from harness.kexec.kimage_struct import BadKimage, installed, read_as_is
from harness.machine import Life
from harness.machine.breakpoints import Hit
from harness.machine.events import UnexpectedEnd
from harness.machine.registers import Registers
from harness.oracles.jump_cpu import CpuChecks
from harness.oracles.jump_memory import JumpMemory, MemoryChecks
from harness.results import Check, Finding


# The stops, by name.
AT_DEPARTURE = "relocate_kernel"  # P0
AT_ENTRY = "the callee's entry"  # P1
AT_RETURN_POINT = "the return point"  # P2
AT_MAPPED = "virtual_mapped"  # P3
AT_C = "machine_kexec"  # behind its call of relocate_kernel

_FEW_MOVES = 256


class NotReached(Exception):
    """A stop was not reached because the image cannot be read; ``str()`` says why. The check that
    says so is recorded."""


@dataclass(frozen=True)
class _Stop:
    address: int
    registers: Registers


def _nothing(_: str) -> None:
    """No fault is put in."""


def _in_kernel(hit: Hit) -> bool:
    """A process may have the return point's address in its own address space."""
    return hit.register("cs") & 3 == 0


def _worth_it(departure: Departure) -> bool:
    """To have a breakpoint in the control page while its code moves pages: that then runs one
    instruction at a time (the 64 MiB of jump-kernel: some 8 s instead of 0.5)."""
    return len(departure.moves) <= _FEW_MOVES or bool(departure.unmapped)


class JumpProof:
    """Of one life. ``cycle``: for the checks, set by the story as it goes."""

    def __init__(self, context: RunContext, life: Life, cycle: int = 0) -> None:
        self._context = context
        self._life = life
        self.cycle = cycle
        self.failed = False  # some check has
        # For faults: called with the stop's name before anything is looked at there.
        self.at_stop: Callable[[str], None] = _nothing
        self.memory = JumpMemory(life, context.folder)
        self._copies: dict[str, relocation.FrameCopy] = {}  # by role: memory is taken once
        self._departures = 0
        self._armed: int | None = None
        self._stop: _Stop | None = None  # where the machine stands, if it has not moved since
        self._debug_idts: dict[int, DebugIdt] = {}  # of who has left, by control page

    def close(self) -> None:
        self.memory.close()

    def arm(self, side: Side) -> None:
        """Sets the breakpoint of ``side``'s P0. It must run, its image must be loaded."""
        with self._life.paused():
            address = self._stops(side).departure
            self._life.add_breakpoint(address, AT_DEPARTURE)
        self._armed = address
        self.memory.prepare()

    def depart(self, side: Side) -> Departure:
        """To P0. The kernel must be on its way there, or about to be told to."""
        if self._armed is None:
            self.arm(side)
        address, self._armed = self._armed, None
        assert address is not None
        registers = self._run_to(address, DEPARTURE, AT_DEPARTURE, armed=True)
        self._departures += 1
        controllers = self._life.interrupt_controllers()
        capture = self.memory.capture()
        try:
            departure = read_departure(
                side, self._departures, registers, controllers, capture, self.memory.regions
            )
        except BadKimage as error:
            raise self._no_image(side, error) from error
        idt = DebugIdt.of(side, departure.arguments.control_page)
        if idt is not None:
            self._debug_idts[departure.arguments.control_page] = idt
        departure.left = self._copies.setdefault(side.role, departure.left)
        self._record(self._checks(departure).at_departure())
        self._record([self._cpu(departure).at_departure()])
        return departure

    def enter(self, departure: Departure) -> None:
        """To P1, the callee's first instruction."""
        start = departure.arguments.start
        own = self._own_idt(departure)
        caught = own if _worth_it(departure) else None
        registers = self._run_to(start, CALLEE_ENTRY, AT_ENTRY, caught=caught)
        now = self.memory.now()
        self._record([self._checks(departure).at_entry(now)])
        self._record([self._cpu(departure).at_entry(registers, now)])
        word = departure.side.word
        data = read_ram(now, registers.sp, word)
        if data is None:
            text = f"the callee's stack is no RAM: {registers.sp:#x}"
            self._fail("the callee has a way back", CALLEE_ENTRY, "rsp", text)
            raise NotReached(text)
        departure.return_point = int.from_bytes(data, "little")

    def reenter(self, departure: Departure) -> None:
        """To P2. If the other kernel's ``enter`` has just brought the machine there, it does not
        move."""
        point = departure.return_point
        if self._stop is None or self._stop.address != point:
            own = self._own_idt(departure)
            self._run_to(point, CALLEE, AT_RETURN_POINT, only_kernel=True, caught=own)
        assert self._stop is not None
        departure.callee = self._stop.registers
        self._record(self._checks(departure).at_return_point(self.memory.now()))

    def arrive(self, departure: Departure) -> None:
        """To P3, and on to the instruction behind the call in machine_kexec(). Closes it."""
        callee = departure.callee
        assert callee is not None, "reenter comes first"
        word, free = self._reentry_word(departure, callee)
        idts = self._debug_idts.values()
        caught = next((idt for idt in idts if idt.in_force(callee)), None)
        if caught is self._own_idt(departure) and not _worth_it(departure):
            caught = None
        self._run_to(departure.stops.mapped, RETURN, AT_MAPPED, caught=caught)
        self._record(self._checks(departure).at_return(self.memory.now()))
        registers = self._run_to(departure.return_address, RETURN, AT_C)
        self._record([self._cpu(departure).at_return(registers, word, free)])
        self._debug_idts.pop(departure.arguments.control_page, None)
        departure.close()

    def _own_idt(self, departure: Departure) -> DebugIdt | None:
        return self._debug_idts.get(departure.arguments.control_page)

    def _reentry_word(self, departure: Departure, callee: Registers) -> tuple[int, bool]:
        size = departure.side.word
        above = departure.arguments.swap_page + PAGE
        try:
            data = self._life.read_physical(callee.sp, size)
        except InfraError:
            data = b"\xff" * size  # no RAM there: an empty bus
        return int.from_bytes(data, "little"), callee.sp == above

    def _stops(self, side: Side) -> Stops:
        try:
            return Stops.of(side, read_as_is(side.view, installed(side.view)))
        except BadKimage as error:
            raise self._no_image(side, error) from error

    def _no_image(self, side: Side, error: BadKimage) -> NotReached:
        check = Check(f"{side.role} has an image to jump to", CPU_ORACLE, False, cycle=self.cycle)
        check.detail = str(error)
        life = self._life.record.index
        check.findings.append(Finding(CPU_ORACLE, DEPARTURE, str(error), self.cycle, life))
        self._record([check])
        return NotReached(str(error))

    def _run_to(
        self,
        address: int,
        stage: str,
        what: str,
        *,
        armed: bool = False,
        only_kernel: bool = False,
        caught: DebugIdt | None = None,
    ) -> Registers:
        """Goes on to ``address``. Dying on the way is a finding of ``stage``. ``caught``: the IDT
        that catches exceptions meanwhile."""
        if not armed:
            self._life.add_breakpoint(address, what, _in_kernel if only_kernel else None)
        wanted = {address}
        if caught is not None:
            self._life.add_breakpoint(caught.handler, "exc_handler", caught.ends_here)
            wanted.add(caught.handler)
        self._stop = None
        try:
            event = self._life.run_until_breakpoint(wanted)
        except UnexpectedEnd as error:
            # A panic and a hang are verdicts of their own, with the stage that they stood in.
            self._not_reached(address, stage, what, str(error).splitlines()[0])
            raise
        if caught is not None:
            self._life.remove_breakpoint(caught.handler)
            if event.address == caught.handler:
                why = caught.describe(self._life, event.cpu)
                self._life.remove_breakpoint(address)
                raise NotReached(self._not_reached(address, stage, what, why))
        self._life.remove_breakpoint(address)
        self.at_stop(what)
        registers = self._life.registers(event.cpu)
        self._stop = _Stop(address, registers)
        return registers

    def _not_reached(self, address: int, stage: str, what: str, why: str) -> str:
        """Records it; returns what is said of it."""
        text = f"{what} ({address:#x}) was not reached: {why}"
        self._fail(f"{what} is reached", stage, what, text)
        return text

    def _fail(self, name: str, stage: str, owner: str, text: str) -> None:
        check = Check(name, CPU_ORACLE, False, cycle=self.cycle, detail=text)
        life = self._life.record.index
        check.findings.append(Finding(CPU_ORACLE, stage, text, self.cycle, life, owner=owner))
        self._record([check])

    def _checks(self, departure: Departure) -> MemoryChecks:
        return MemoryChecks(departure, self._life.record.index, self.cycle)

    def _cpu(self, departure: Departure) -> CpuChecks:
        return CpuChecks(departure, self._life.record.index, self.cycle)

    def _record(self, checks: list[Check]) -> None:
        for check in checks:
            self._context.record(check)
            self.failed = self.failed or not check.passed
