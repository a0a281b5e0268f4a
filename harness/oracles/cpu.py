# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU state across a hibernation: what restore_registers must bring back.

The expectation is the machine itself at the entry of swsusp_arch_suspend(), just after
save_processor_state(). Two moments are held against it in the life that resumes:

- "return": the instruction after the call of swsusp_arch_suspend(), reached by the RET of
  restore_registers (arch/x86/power/hibernate_asm_{32,64}.S). The general registers, the stack,
  flags and CR3 must be those of the entry.
- "restored": the entry of syscore_resume(), right after restore_processor_state(). The control
  registers, EFER, descriptor tables, segment bases and the task register must be those of the
  entry, too (arch/x86/power/cpu.c).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.machine.registers import Registers
from harness.results import Check, Finding

# swsusp_arch_suspend() saves these (the assembly's own stores), and nothing else.
_SAVED_64 = "rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15".split()
_SAVED_32 = "rbx rsi rdi rbp".split()

# CR0.TS and CR0.MP belong to lazy FPU handling, which restore_processor_state() redoes.
_CR0_FREE = (1 << 3) | (1 << 1)
# CPL 0 status flags that `xorl %eax, %eax` and the RET path rewrite: CF PF AF ZF SF OF.
_STATUS_FLAGS = 0x8D5
# Busy/available bits of a TSS descriptor live in flags, not in what we compare.


def _differences(
    expected: Iterator[tuple[str, int, int]],
) -> list[tuple[str, int, int]]:
    return [(name, want, got) for name, want, got in expected if want != got]


def _at_return(entry: Registers, now: Registers, arch: str) -> Iterator[tuple[str, int, int]]:
    word = 8 if arch == "x86_64" else 4
    for name in _SAVED_64 if arch == "x86_64" else _SAVED_32:
        yield name, entry.general[name], now.general[name]
    # The RET has taken the return address off the stack.
    yield "rsp", entry.sp + word, now.sp
    # restore_registers returns 0: "the memory has just been restored".
    yield "rax", 0, now.general["rax"]
    yield "eflags", entry.eflags & ~_STATUS_FLAGS, now.eflags & ~_STATUS_FLAGS
    yield "cr3", entry.control["cr3"], now.control["cr3"]


def _after_restore(entry: Registers, now: Registers, arch: str) -> Iterator[tuple[str, int, int]]:
    yield "cr0", entry.control["cr0"] & ~_CR0_FREE, now.control["cr0"] & ~_CR0_FREE
    for name in ("cr2", "cr3", "cr4", "efer"):
        yield name, entry.control[name], now.control[name]
    for name in ("cs", "ss", "ds", "es", "fs", "gs"):
        yield name, entry.selectors[name], now.selectors[name]
    yield "gdtr.base", entry.gdtr.base, now.gdtr.base
    yield "gdtr.limit", entry.gdtr.limit, now.gdtr.limit
    yield "idtr.base", entry.idtr.base, now.idtr.base
    yield "idtr.limit", entry.idtr.limit, now.idtr.limit
    yield "tr.selector", entry.tr.selector, now.tr.selector
    yield "tr.base", entry.tr.base, now.tr.base
    yield "ldtr.selector", entry.ldtr.selector, now.ldtr.selector
    yield "fs.base", entry.fs_base, now.fs_base
    yield "gs.base", entry.gs_base, now.gs_base
    if arch == "x86_64":
        yield "kernel_gs.base", entry.k_gs_base, now.k_gs_base


def check_cpu(
    entry: Registers, at_return: Registers, restored: Registers, *, arch: str, cycle: int, life: int
) -> Check:
    """Compares both moments with the entry; one finding a register."""
    moments = (
        ("return", at_return, list(_at_return(entry, at_return, arch))),
        ("restored", restored, list(_after_restore(entry, restored, arch))),
    )
    check = Check("CPU state restored", "cpu", True, cycle=cycle)
    for moment, _, compared in moments:
        check.compared += len(compared)
        for name, want, got in _differences(iter(compared)):
            where = "restore_registers" if moment == "return" else "restore_processor_state"
            check.findings.append(
                Finding(
                    oracle="cpu",
                    stage="restore",
                    message=f"{name} after {where}(): expected {want:#x}, found {got:#x}",
                    cycle=cycle,
                    life=life,
                    owner=name,
                    expected=_bytes(want),
                    found=_bytes(got),
                )
            )
    check.passed = not check.findings
    check.detail = f"{check.compared} registers at 2 moments"
    return check


def _bytes(value: int) -> bytes:
    """A register as memory would hold it."""
    return value.to_bytes(8, "little")
