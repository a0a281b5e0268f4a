# SPDX-License-Identifier: GPL-2.0-or-later
"""A saved IOAPIC entry that the kernel is going to write back wrong."""

from __future__ import annotations

from harness.machine import Life
from harness.symbols import Symbols

_PIN, _POLARITY = 22, 1 << 13  # an unused pin
_WORD = {"x86_64": 8, "i386": 4}


def change_saved_ioapic(life: Life, symbols: Symbols) -> str:
    """The polarity of the pin, where save_ioapic_entries() has put it (struct
    ioapic.saved_registers, arch/x86/kernel/apic/io_apic.c). Says what was done."""
    word = _WORD[symbols.arch]
    field = symbols.address("ioapics") + word  # behind int nr_registers, aligned
    entries = int.from_bytes(life.read_virtual(field, word), "little")
    value = int.from_bytes(life.read_virtual(entries + 8 * _PIN, 8), "little")
    life.write_virtual(entries + 8 * _PIN, (value ^ _POLARITY).to_bytes(8, "little"))
    return f"changed the saved RTE of pin {_PIN} from {value:#x}"
