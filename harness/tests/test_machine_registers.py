# SPDX-License-Identifier: GPL-2.0-or-later
"""Registers and interrupt controllers from the human monitor's text (QEMU 7.2)."""

from __future__ import annotations

import pytest

from harness.errors import InfraError
from harness.machine.interrupts import parse_ioapic, parse_lapic, parse_pics
from harness.machine.registers import (
    CONTROL,
    GENERAL,
    SEGMENTS,
    Segment,
    TableRegister,
    build_registers,
)

pytestmark = pytest.mark.timeout(10)

LONG = """
CPU#0
RAX=0000000000000000 RBX=0000000000000000 RCX=4000000000000000 RDX=0000000000000000
RIP=ffffffff81025b1e RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0000 0000000000000000 00000000 00000000
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
GS =0000 ffff88800f600000 00000000 00000000
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT
TR =0040 fffffe0000003000 00000067 00008900 DPL=0 TSS64-avl
GDT=     fffffe0000001000 0000007f
IDT=     fffffe0000000000 00000fff
CR0=80050033 CR2=000000002858c730 CR3=00000000005d0000 CR4=000006b0
DR0=0000000000000000 DR1=0000000000000001 DR2=0000000000000000 DR3=0000000000000000
DR6=00000000ffff0ff0 DR7=0000000000000400
EFER=0000000000000d01
FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80
"""
SHORT = """
EAX=00000000 EBX=00000000 ECX=00000001 EDX=00000000
EIP=c1025b1e EFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=0
CS =0060 00000000 ffffffff 00cf9b00 DPL=0 CS32 [-RA]
LDT=0000 00000000 00000000 00008200 DPL=0 LDT
TR =0080 ff802000 0000206b 00008b00 DPL=0 TSS32-busy
GDT=     ff801000 000000ff
IDT=     ff800000 000007ff
CR0=80050033 CR2=bfa00000 CR3=01a00000 CR4=000006b0
DR0=00000000 DR1=00000000 DR2=00000000 DR3=00000000
DR6=ffff0ff0 DR7=00000400
EFER=0000000000000000
"""


def stub_registers() -> dict[str, int]:
    names = GENERAL + SEGMENTS + CONTROL + ("rip", "eflags", "fs_base", "gs_base", "k_gs_base")
    return {name: number for number, name in enumerate(names, 1)}


def test_long_mode() -> None:
    stub = {**stub_registers(), "cr0": 0x80050033, "efer": 0xD01}
    registers = build_registers(1, stub, LONG)
    assert registers.cpu == 1
    assert registers.general["r15"] == stub["r15"]
    assert registers.sp == stub["rsp"]
    assert registers.gdtr == TableRegister(0xFFFFFE0000001000, 0x7F)
    assert registers.idtr == TableRegister(0xFFFFFE0000000000, 0xFFF)
    assert registers.tr == Segment(0x40, 0xFFFFFE0000003000, 0x67, 0x8900)
    assert registers.ldtr == Segment(0, 0, 0, 0x8200)
    assert registers.debug == {
        "dr0": 0, "dr1": 1, "dr2": 0, "dr3": 0, "dr6": 0xFFFF0FF0, "dr7": 0x400
    }  # fmt: skip
    assert registers.long_mode and registers.paging and registers.halted and registers.cpl == 0


def test_protected_mode() -> None:
    registers = build_registers(0, {**stub_registers(), "efer": 0}, SHORT)
    assert registers.gdtr == TableRegister(0xFF801000, 0xFF)
    assert registers.tr.base == 0xFF802000
    assert registers.cpl == 3 and not registers.halted and not registers.long_mode


def test_missing_register_is_named() -> None:
    stub = stub_registers()
    del stub["efer"]
    with pytest.raises(InfraError, match="CPU 0.*'efer'"):
        build_registers(0, stub, LONG)
    with pytest.raises(InfraError, match="'gdt'"):
        build_registers(0, stub_registers(), LONG.replace("GDT=", "xxx="))


LAPIC = """dumping local APIC state for CPU 0

LVT0\t 0x00010700 active-hi edge  masked                      ExtINT (vec 0)
LVTT\t 0x000000ec active-hi edge                 one-shot     Fixed  (vec 236)
Timer\t DCR=0x3 (divide by 16) initial_count = 125732262 current_count = 111718425
SPIV\t 0x000001ff APIC enabled, focus=off, spurious vec 255
ICR\t 0x000008fb logical edge de-assert no-shorthand
ICR2\t 0x02000000 mask 00000010 (APIC ID)
ESR\t 0x00000000
ISR\t 236
IRR\t 34 251 (level)

APR 0x00 TPR 0x10 DFR 0x0f LDR 0x01 PPR 0x10
"""


def test_lapic() -> None:
    values = parse_lapic(LAPIC)
    assert values["lvt0"] == 0x10700 and values["lvtt"] == 0xEC
    assert values["spiv"] == 0x1FF and values["icr"] == 0x8FB and values["icr2"] == 0x02000000
    assert values["initial_count"] == 125732262 and values["current_count"] == 111718425
    assert values["isr"] == 1 << 236 and values["irr"] == 1 << 34 | 1 << 251
    assert values["tpr"] == 0x10 and values["ldr"] == 1
    assert parse_lapic("ISR\t (none)\n")["isr"] == 0


PIC = """ioapic0: ver=0x20 id=0x02 sel=0x18 (redir[4])
  pin 0  0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical
  pin 1  0x0200000000000822 dest=2 vec=34  active-hi edge         fixed  logical
  IRR      1 9
  Remote IRR (none)
pic1: irr=10 imr=ff isr=00 hprio=0 irq_base=38 rr_sel=0 elcr=0c fnm=0
pic0: irr=13 imr=fe isr=00 hprio=0 irq_base=30 rr_sel=0 elcr=00 fnm=0
"""


def test_ioapic_and_pics() -> None:
    ioapic = parse_ioapic(PIC)
    assert ioapic == {
        "id": 2,
        "irr": 1 << 1 | 1 << 9,
        "redirection 0": 0x10000,
        "redirection 1": 0x0200000000000822,
    }
    master, slave = parse_pics(PIC)
    assert (master["irq_base"], master["imr"], master["irr"]) == (0x30, 0xFE, 0x13)
    assert (slave["irq_base"], slave["elcr"]) == (0x38, 0x0C)
    assert parse_pics("") == []
