# SPDX-License-Identifier: GPL-2.0-or-later
"""One CPU's registers at a stop, from the GDB stub and from the human monitor's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import InfraError

GENERAL = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp") + tuple(
    f"r{number}" for number in range(8, 16)
)
SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")
CONTROL = ("cr0", "cr2", "cr3", "cr4", "cr8", "efer")


@dataclass(frozen=True)
class Segment:
    """A hidden segment or system-segment register."""

    selector: int
    base: int
    limit: int  # bytes, inclusive
    flags: int  # QEMU's: the descriptor's second word


@dataclass(frozen=True)
class TableRegister:
    base: int  # guest virtual
    limit: int  # bytes, inclusive


@dataclass(frozen=True)
class Registers:
    """All numbers are unsigned. ``monitor`` keeps the text that part of it was read from."""

    cpu: int
    general: dict[str, int]  # rax..r15; on 32-bit CPUs too, zero-extended
    rip: int
    eflags: int
    selectors: dict[str, int]  # cs, ss, ds, es, fs, gs
    control: dict[str, int]  # cr0, cr2, cr3, cr4, cr8, efer
    fs_base: int
    gs_base: int
    k_gs_base: int
    gdtr: TableRegister
    idtr: TableRegister
    ldtr: Segment
    tr: Segment
    debug: dict[str, int]  # dr0..dr3, dr6, dr7
    cpl: int
    halted: bool
    all: dict[str, int] = field(repr=False)  # by the stub's names, vector registers too
    monitor: str = field(repr=False, default="")

    @property
    def sp(self) -> int:
        return self.general["rsp"]

    @property
    def long_mode(self) -> bool:
        """EFER.LMA: the CPU runs with 4- or 5-level page tables."""
        return bool(self.control["efer"] & (1 << 10))

    @property
    def paging(self) -> bool:
        return bool(self.control["cr0"] & (1 << 31))


# Lines of QEMU's x86_cpu_dump_state (target/i386/cpu-dump.c); base has 8 or 16 digits:
#   LDT=0000 0000000000000000 0000ffff 00008200 DPL=0 LDT
#   GDT=     fffffe0000001000 0000007f
#   II=0 A20=1 SMM=0 HLT=1
_SEGMENT = re.compile(
    r"^(ES|CS|SS|DS|FS|GS|LDT|TR) *=([0-9a-f]{4}) ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)", re.M
)
_TABLE = re.compile(r"^(GDT|IDT)= +([0-9a-f]+) ([0-9a-f]+)", re.M)
_NUMBER = re.compile(r"\b(CR[0-8]|DR[0-7]|EFER|EFL|CPL|HLT)=([0-9a-f]+)")


def build_registers(cpu: int, stub: Mapping[str, int], monitor: str) -> Registers:
    """Joins the stub's registers and ``info registers``. Raises InfraError if one is missing."""
    segments = {
        name.lower(): Segment(*(int(number, 16) for number in numbers))
        for name, *numbers in _SEGMENT.findall(monitor)
    }
    tables = {
        name.lower(): TableRegister(int(base, 16), int(limit, 16))
        for name, base, limit in _TABLE.findall(monitor)
    }
    numbers = {name.lower(): int(text, 16) for name, text in _NUMBER.findall(monitor)}
    try:
        return Registers(
            cpu=cpu,
            general={name: stub[name] for name in GENERAL},
            rip=stub["rip"],
            eflags=stub["eflags"],
            selectors={name: stub[name] for name in SEGMENTS},
            control={name: stub[name] for name in CONTROL},
            fs_base=stub["fs_base"],
            gs_base=stub["gs_base"],
            k_gs_base=stub["k_gs_base"],
            gdtr=tables["gdt"],
            idtr=tables["idt"],
            ldtr=segments["ldt"],
            tr=segments["tr"],
            debug={name: numbers[name] for name in ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7")},
            cpl=numbers["cpl"],
            halted=numbers["hlt"] != 0,
            all=dict(stub),
            monitor=monitor,
        )
    except KeyError as missing:
        raise InfraError(
            f"CPU {cpu}: the machine does not tell register {missing}; this QEMU's gdbstub or its "
            "'info registers' is not one that the harness knows (7.2 is)"
        ) from None
