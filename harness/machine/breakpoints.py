# SPDX-License-Identifier: GPL-2.0-or-later
"""Breakpoints of a life: where, under which condition, and stepping over them.

Cost under TCG (measured, see docs/machine.md): while a breakpoint is set, code in its 4 KiB page
runs one instruction at a time, and every stop throws away all translated code. Set them late and
remove them when they have done their duty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.machine.gdb import BreakpointKind, GdbClient
from harness.machine.rsp import SIGTRAP, StopReply


_STEP_TRIES = 8


@dataclass(frozen=True)
class Hit:
    """What a condition may look at. All CPUs stand still."""

    gdb: GdbClient
    thread: int
    address: int

    @property
    def cpu(self) -> int:
        return self.thread - 1

    def register(self, name: str) -> int:
        """By the stub's names: "rdi", "rsp", also for 32-bit kernels."""
        return self.gdb.register(self.thread, name)

    def read_virtual(self, address: int, length: int) -> bytes:
        return self.gdb.read_memory(self.thread, address, length)

    def return_address(self, word: int = 8) -> int:
        """At a function's first instruction. ``word``: bytes, 4 for i386."""
        return int.from_bytes(self.read_virtual(self.register("rsp"), word), "little")


# True: stop. False: go on. Runs in the life's driver thread; must not call methods of Life.
Condition = Callable[[Hit], bool]


@dataclass(frozen=True)
class BreakpointSpec:
    address: int  # guest virtual
    symbol: str = ""
    condition: Condition | None = None
    kind: BreakpointKind = BreakpointKind.HARDWARE


class BreakpointSet:
    """The breakpoints that the stub has, and where the machine last stopped at one."""

    def __init__(self, gdb: GdbClient) -> None:
        self._gdb = gdb
        self._specs: dict[int, BreakpointSpec] = {}
        self.reported: tuple[int, int] | None = None  # thread, address: not yet executed
        self.hits = 0  # stops, those that a condition let go included

    def add(self, spec: BreakpointSpec) -> None:
        """The machine must stand still. A second one at an address replaces the first."""
        old = self._specs.get(spec.address)
        if old is not None and old.kind is not spec.kind:
            self._gdb.remove_breakpoint(spec.address, old.kind)
            old = None
        if old is None:
            self._gdb.insert_breakpoint(spec.address, spec.kind)
        self._specs[spec.address] = spec

    def remove(self, address: int) -> None:
        """The machine must stand still. Nothing happens if there is none."""
        spec = self._specs.pop(address, None)
        if spec is not None:
            self._gdb.remove_breakpoint(address, spec.kind)

    def addresses(self) -> set[int]:
        return set(self._specs)

    def run(self, pause_wanted: Callable[[], bool]) -> tuple[Hit, BreakpointSpec] | None:
        """Lets the machine go until it stands still again.

        Returns the breakpoint whose condition held; None if it stopped for another reason: it was
        interrupted, or its life ended. ``pause_wanted``: see ``GdbClient.resume``.
        """
        while True:
            stop = self._step_over()
            if stop is None:
                if not self._gdb.resume(unless=pause_wanted):
                    return None
                self.reported = None
                stop = self._gdb.wait_stop()
            if stop.signal != SIGTRAP:
                return None
            address = self._gdb.register(stop.thread, "rip")
            spec = self._specs.get(address)
            if spec is not None:
                self.reported = (stop.thread, address)
                self.hits += 1
                hit = Hit(self._gdb, stop.thread, address)
                if spec.condition is None or spec.condition(hit):
                    return hit, spec

    def _step_over(self) -> StopReply | None:
        """Executes the instruction under a breakpoint that was reported already.

        Returns the stop that the step ended in if it was no mere end of a step. The other CPUs
        stand still meanwhile, so none runs past the breakpoint unseen.
        """
        if self.reported is None:
            return None
        thread, address = self.reported
        # Somebody may have removed the breakpoint, or moved rip (to inject a step's failure).
        if address in self._specs and self._gdb.register(thread, "rip") == address:
            # QEMU's step may end before the instruction is executed, when some internal request of
            # the CPU was served instead (measured: one in some hundred). Bounded: an instruction
            # may be a jump to itself.
            for _ in range(_STEP_TRIES):
                self._gdb.step(thread)
                stop = self._gdb.wait_stop()
                moved = self._gdb.register(thread, "rip") != address
                if stop.signal != SIGTRAP:  # interrupted, perhaps before the step was done
                    if moved:
                        self.reported = None
                    return stop
                if moved:
                    break
        self.reported = None
        return None
