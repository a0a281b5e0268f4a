# SPDX-License-Identifier: GPL-2.0-or-later
"""Page tables walked by hand: which table pages a translation reads, and where it leads."""

from __future__ import annotations

from dataclasses import dataclass

import jumpback_relocation as relocation

from harness.machine.registers import Registers

_PRESENT, _LARGE = 1, 1 << 7
_FRAME = ((1 << 52) - 1) & ~0xFFF  # bits 12 to 51 of an entry
_PAE, _LA57 = 1 << 5, 1 << 12  # CR4


def read_ram(ram: relocation.Ram, gpa: int, size: int) -> bytes | None:
    """None: there is no RAM, as where a kernel has a pointer wrong. That is for a check to tell."""
    try:
        return ram.read(gpa, size)
    except relocation.RelocationError:
        return None


@dataclass(frozen=True)
class Walk:
    tables: tuple[int, ...]  # gpa of each table that was read, the root first
    gpa: int | None  # where it leads; None: nothing is mapped there, or a table is no RAM


class PageTables:
    """From ``root`` (gpa), as the processor with these registers would read it."""

    def __init__(self, ram: relocation.Ram, root: int, arch: str, registers: Registers) -> None:
        self._ram = ram
        self._root = root
        cr4 = registers.control["cr4"]
        if arch == "x86_64":
            self._entry, self._bits, self._levels = 8, 9, 5 if cr4 & _LA57 else 4
        elif cr4 & _PAE:
            self._entry, self._bits, self._levels = 8, 9, 3
        else:
            self._entry, self._bits, self._levels = 4, 10, 2

    def walk(self, address: int) -> Walk:
        tables: list[int] = []
        table = self._root & ~0xFFF if self._levels != 3 else self._root & ~0x1F
        for level in range(self._levels - 1, -1, -1):
            tables.append(table & ~0xFFF)
            shift = 12 + level * self._bits
            index = address >> shift & (1 << self._bits) - 1
            data = read_ram(self._ram, table + index * self._entry, self._entry)
            entry = int.from_bytes(data or b"", "little")  # as a CPU: no table, no page
            if not entry & _PRESENT:
                return Walk(tuple(tables), None)
            if level == 0 or (entry & _LARGE and level <= 2 and not self._top_of_pae(level)):
                base = entry & _FRAME & ~((1 << shift) - 1)
                return Walk(tuple(tables), base | address & (1 << shift) - 1)
            table = entry & _FRAME
        raise AssertionError("level 0 returns")

    def _top_of_pae(self, level: int) -> bool:
        return self._levels == 3 and level == 2
