# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupt controllers at a stop, read from QEMU's human monitor. The text is always kept.

Mirrors the output of hw/intc/{apic_common,ioapic_common,i8259}.c and target/i386/cpu-dump.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True)
class InterruptControllers:
    """``lapics``: by APIC id, the named registers of each; see ``parse_lapic``."""

    lapics: dict[int, dict[str, int]]
    ioapic: dict[str, int]  # "id", "irr", "redirection 0".. (64 bits)
    pics: list[dict[str, int]]  # master, slave: irr imr isr hprio irq_base rr_sel elcr fnm
    text: dict[str, str] = field(repr=False)  # all that was read, by command


# LVT0\t 0x00010700 active-hi level masked  ExtINT (vec 0)
_LAPIC_WORD = re.compile(
    r"^(LVT\w+|Timer|SPIV|ICR2?|ESR|APR|TPR|DFR|LDR|PPR)\s+0x([0-9a-f]+)", re.M
)
_LAPIC_PRIORITY = re.compile(r"\b(APR|TPR|DFR|LDR|PPR) 0x([0-9a-f]+)")
_LAPIC_TIMER = re.compile(r"(initial_count|current_count) = (\d+)")
_LAPIC_VECTORS = re.compile(r"^(ISR|IRR)\s+(.*)$", re.M)


def parse_lapic(text: str) -> dict[str, int]:
    """Registers of ``info lapic N``; "isr" and "irr" are 256-bit masks of vectors."""
    values = {name.lower(): int(number, 16) for name, number in _LAPIC_WORD.findall(text)}
    values.update((name.lower(), int(n, 16)) for name, n in _LAPIC_PRIORITY.findall(text))
    values.update((name, int(number)) for name, number in _LAPIC_TIMER.findall(text))
    for name, rest in _LAPIC_VECTORS.findall(text):
        vectors = [int(word) for word in re.findall(r"\b\d+\b", rest)]
        values[name.lower()] = sum(1 << vector for vector in vectors if vector < 256)
    return values


_IOAPIC_HEAD = re.compile(r"ioapic\d+: ver=0x[0-9a-f]+ id=0x([0-9a-f]+)")
_IOAPIC_PIN = re.compile(r"^\s*pin (\d+)\s+0x([0-9a-f]{16})", re.M)
_IOAPIC_IRR = re.compile(r"^\s*IRR\s+(.*)$", re.M)


def parse_ioapic(text: str) -> dict[str, int]:
    """The IOAPIC's part of ``info pic``."""
    values = {f"redirection {pin}": int(entry, 16) for pin, entry in _IOAPIC_PIN.findall(text)}
    head = _IOAPIC_HEAD.search(text)
    if head:
        values["id"] = int(head.group(1), 16)
    pending = _IOAPIC_IRR.search(text)
    if pending:
        pins = [int(word) for word in re.findall(r"\b\d+\b", pending.group(1))]
        values["irr"] = sum(1 << pin for pin in pins if pin < 64)
    return values


_PIC = re.compile(r"^pic(\d): (.*)$", re.M)


def parse_pics(text: str) -> list[dict[str, int]]:
    """The 8259s' part of ``info pic``, the master first."""
    found = {
        int(number): {
            name: int(value, 16) for name, value in re.findall(r"(\w+)=([0-9a-f]+)\b", rest)
        }
        for number, rest in _PIC.findall(text)
    }
    return [found[number] for number in sorted(found)]
