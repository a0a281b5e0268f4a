# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupt controllers across a hibernation: what the resume must set up as it was.

Compared while the guest runs user space, before the save and after the resume. What changes by
right is masked out: vectors and destinations, which the kernel hands out anew when CPUs come and
go (arch/x86/kernel/apic/vector.c), status bits, pending interrupts, the running timer's count.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.machine.interrupts import InterruptControllers
from harness.results import Check, Finding

# lapic_resume() (arch/x86/kernel/apic/apic.c) writes these back. LVT bits: 12 delivery status,
# 14 remote IRR are the hardware's own.
_LAPIC = ("spiv", "lvt0", "lvt1", "lvterr", "ldr", "dfr", "tpr")
_LVT_STATUS = (1 << 12) | (1 << 14)
# restore_ioapic_entries() (io_apic.c): delivery mode 8–10, destination mode 11, polarity 13,
# trigger 15, mask 16. Not compared: vector 0–7, status 12 and 14, destination 56–63.
_RTE = (7 << 8) | (1 << 11) | (1 << 13) | (1 << 15) | (1 << 16)
# i8259_resume() sets the controllers up again (arch/x86/kernel/i8259.c).
_PIC = ("imr", "irq_base", "elcr")


def _pairs(
    before: InterruptControllers, after: InterruptControllers
) -> Iterator[tuple[str, int | None, int | None]]:
    for number, lapic in before.lapics.items():
        other = after.lapics.get(number, {})
        for name in _LAPIC:
            want, got = lapic.get(name), other.get(name)
            if name.startswith("lvt") and want is not None and got is not None:
                want, got = want & ~_LVT_STATUS, got & ~_LVT_STATUS
            yield f"LAPIC {number} {name.upper()}", want, got
    for name, entry in before.ioapic.items():
        if name.startswith("redirection"):
            found = after.ioapic.get(name)
            pin = name.split()[1]
            yield f"IOAPIC RTE {pin}", entry & _RTE, None if found is None else found & _RTE
    for number, (pic, other_pic) in enumerate(zip(before.pics, after.pics)):
        for name in _PIC:
            yield f"8259 {'slave' if number else 'master'} {name.upper()}", pic.get(
                name
            ), other_pic.get(name)


def check_interrupts(
    before: InterruptControllers, after: InterruptControllers, *, cycle: int, life: int
) -> Check:
    """One finding for each register that was not restored."""
    check = Check("interrupt controllers restored", "interrupts", True, cycle=cycle)
    for name, want, got in _pairs(before, after):
        check.compared += 1
        if want != got:
            check.findings.append(
                Finding(
                    "interrupts",
                    "wake",
                    f"{name}: expected {_text(want)}, found {_text(got)}",
                    cycle,
                    life,
                    owner=name,
                )
            )
    if len(before.pics) != len(after.pics) or not before.lapics or not before.ioapic:
        check.findings.append(
            Finding("interrupts", "wake", "the controllers could not be read", cycle, life)
        )
    check.passed = not check.findings
    check.detail = f"{check.compared} registers"
    return check


def _text(value: int | None) -> str:
    return "nothing" if value is None else f"{value:#x}"
