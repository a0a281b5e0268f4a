# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions in relocate_kernel from 6.16 on: its debug IDT catches them, and the CPU halts there.

Without a breakpoint there that is a hang of the stage's whole limit. The IDT is in force from
identity_mapped on, and in a callee until that loads one of its own. So on the way back it may be
that of the callee, if the callee is a kernel that has left by a jump.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.jump.relocate_code import RelocateCode
from harness.jump.side import Side
from harness.machine import Life
from harness.machine.breakpoints import Hit
from harness.machine.registers import Registers
from harness.machine.rsp import GdbError

# kexec_debug_exc_vectors pushes it, and the handler returns from it.
_BREAKPOINT_EXCEPTION = 3
# What the handler finds on its stack: the vector, the error code, and the CPU's frame.
_WORD = 8
_VECTOR, _ERROR, _RIP = range(3)


@dataclass(frozen=True)
class DebugIdt:
    base: int  # gpa, and the linear address: relocate_kernel's tables map it at both
    handler: int  # linear; all vectors get there, the vector and an error code on the stack

    @classmethod
    def of(cls, side: Side, control_page: int) -> DebugIdt | None:
        """None: this kernel has none."""
        if not side.kernel.debug_tables:
            return None
        code = RelocateCode(side.symbols, side.kernel.saved_words_in_data)
        idt, handler = code.find("kexec_debug_idt"), code.find("exc_handler")
        if idt is None or handler is None:
            return None
        return cls(control_page + idt, control_page + handler)

    def in_force(self, registers: Registers) -> bool:
        return registers.idtr.base == self.base

    def ends_here(self, hit: Hit) -> bool:
        """A process may have this address in its own address space; and an int3 is returned
        from."""
        if hit.register("cs") & 3:
            return False
        try:
            vector = _stacked(hit.read_virtual(hit.register("rsp"), _WORD))[0]
        except GdbError:
            return True  # not even a stack is there
        return vector != _BREAKPOINT_EXCEPTION

    def describe(self, life: Life, cpu: int) -> str:
        """What has happened to the CPU, which stands at the handler."""
        registers = life.registers(cpu)
        halts = "the CPU halts in relocate_kernel's debug IDT"
        try:
            words = _stacked(life.read_virtual(registers.sp, 3 * _WORD, cpu))
        except GdbError:
            return f"an exception whose stack, {registers.sp:#x}, is not mapped: {halts}"
        return (
            f"exception {words[_VECTOR]} at RIP {words[_RIP]:#x}, error code {words[_ERROR]:#x}, "
            f"CR2 {registers.control['cr2']:#x}: {halts}"
        )


def _stacked(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + _WORD], "little") for at in range(0, len(data), _WORD)]
