# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU of a machine that a triple fault has ended in jump-race, where nobody stops at the jumps.

A kernel that comes back from its jump without a GDT dies at the first segment register that it
loads, in restore_processor_state() (docs/findings/gdt-not-reloaded.md). Every other triple fault is
somebody else's.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness import known
from harness.jump.side import CPU_ORACLE, RETURN
from harness.kexec.guest_view import GuestView
from harness.machine.registers import Registers, TableRegister
from harness.results import Check, Finding
from harness.symbols import Symbols
from kernel.under_test import KernelUnderTest

GDT_AT_DEATH = "the CPU that came back from a jump has the kernel's GDT"

_DEFECT = "gdt-not-reloaded"
JUMPING_CPU = 0  # the others are offline while one jumps: freeze_secondary_cpus()
# arch/x86/power/cpu.c; the first is the second's body, and may be all that is left of it.
_RESTORE = ("__restore_processor_state", "restore_processor_state")


@dataclass(frozen=True)
class KernelGdt:
    """What the kernel itself loads on the CPU that jumps."""

    tables: tuple[TableRegister, ...]

    @staticmethod
    def read(view: GuestView, running: Registers) -> KernelGdt:
        """``running``: of that CPU, before any jump. It uses the fixmap's read-only alias; a jump
        comes back with what __save_processor_state() keeps, get_cpu_gdt_rw(0)."""
        base = view.symbols.address("gdt_page")
        offsets = view.symbols.all("__per_cpu_offset")
        if offsets:  # CONFIG_SMP
            base += view.number(offsets[0][0])
        base &= (1 << 8 * view.word) - 1
        return KernelGdt((running.gdtr, TableRegister(base, running.gdtr.limit)))


def gdt_at_death(
    registers: Registers,
    kernel_gdt: KernelGdt,
    symbols: Symbols,
    kernel: KernelUnderTest,
    life: int,
) -> Check | None:
    """``registers``: of the CPU that jumps, where a triple fault left it. None: that is not where a
    jump comes back, and the GDT says nothing of why."""
    place = symbols.find(registers.rip)
    if place is None or place[0] not in _RESTORE:
        return None
    check = Check(GDT_AT_DEATH, CPU_ORACLE, True, compared=2)
    found = registers.gdtr
    if found in kernel_gdt.tables:
        return check
    wanted = kernel_gdt.tables[-1]
    why = _why(kernel)
    for item, want, got in (
        ("gdtr.base", wanted.base, found.base),
        ("gdtr.limit", wanted.limit, found.limit),
    ):
        if want != got:
            where = f"in {place[0]}+{place[1]:#x}"
            text = f"{item}: expected {want:#x}, found {got:#x} {where} ({why})"
            check.findings.append(Finding(CPU_ORACLE, RETURN, text, life=life, owner=item))
    check.passed = False
    check.detail = check.findings[0].message
    return check


def _why(kernel: KernelUnderTest) -> str:
    (defect,) = (defect for defect in known.KNOWN if defect.id == _DEFECT)
    if defect.stands_in(kernel.release, kernel.arch) and defect.id not in kernel.fixed:
        return f"known defect {defect.id}: {defect.summary}, {defect.page}"
    return f"as with defect {defect.id}, which this kernel should not have"
