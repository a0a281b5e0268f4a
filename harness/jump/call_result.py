# SPDX-License-Identifier: GPL-2.0-or-later
"""What a payload writes down (fixtures/kexec/payload/payload.h), and what it must come to.

Nothing of it is asked of the guest: the host reads the pages out of RAM, where the payload left
them, and works the sum out for itself.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

from harness.kexec.calls import PAGE, pattern

MAGIC = 0x64656C6C6143424A  # "JBCalled"
DONE = 0x600DCA11
RECORDS = 15
RECORD_SIZE = 256
CMOS_BYTE = 0x7E
BIOS_ENTRY = struct.Struct("<QQII")  # e820: start, length, type, attributes
BIOS_ENTRIES = 32

_MULTIPLIER, _MASK = 0x9E3779B1, 0xFFFFFFFF


@dataclass(frozen=True)
class Orders:
    """What the loader tells the payload. ``stray``: the address of a byte to flip; 0: none."""

    nonce: int
    stray: int = 0

    @property
    def page(self) -> bytes:
        return struct.pack("<QQ", self.nonce, self.stray)


@dataclass(frozen=True)
class Head:
    magic: int
    calls: int
    nonce: int


@dataclass(frozen=True)
class Record:
    """Of one call. On i386 words have 32 bits."""

    entry: int
    sum: int
    cr0: int
    cr2: int
    cr3: int
    cr4: int
    efer: int
    gdt_limit: int
    gdt_base: int
    idt_limit: int
    idt_base: int
    flags: int
    sp: int
    top: int
    above: int
    selectors: int
    fs_gs: int
    dx: int
    cmos: int
    pit: int
    done: int
    bios: int
    ticks: int

    @property
    def segments(self) -> dict[str, int]:
        names = ("cs", "ds", "es", "ss")
        found = {name: self.selectors >> 16 * i & 0xFFFF for i, name in enumerate(names)}
        return found | {"fs": self.fs_gs & 0xFFFF, "gs": self.fs_gs >> 16 & 0xFFFF}

    @property
    def base_memory(self) -> int:
        """KiB, INT 12h."""
        return self.bios & 0xFFFF

    @property
    def extended_memory(self) -> int:
        """KiB above 1 MiB, INT 15h, AH = 88h."""
        return self.bios >> 16 & 0xFFFF

    @property
    def map_entries(self) -> int:
        return self.bios >> 32


_RECORD = struct.Struct("<23Q")
assert len(Record.__dataclass_fields__) == 23 and _RECORD.size <= RECORD_SIZE


def read_head(page: bytes) -> Head:
    return Head(*struct.unpack_from("<QQQ", page))


def read_record(page: bytes, call: int) -> Record:
    """``call``: its number, the first is 1."""
    place = RECORD_SIZE * (1 + (call - 1) % RECORDS)
    return Record(*_RECORD.unpack_from(page, place))


def read_map(table: bytes, count: int) -> list[tuple[int, int, int]]:
    """The BIOS's memory map: first byte, last byte, type."""
    found = []
    for index in range(min(count, BIOS_ENTRIES)):
        start, length, kind, _ = BIOS_ENTRY.unpack_from(table, index * BIOS_ENTRY.size)
        found.append((start, start + length - 1, kind))
    return found


def worked_page(seed: int, nonce: int, call: int) -> bytes:
    """What call number ``call`` makes of the input page, the pattern of ``seed``."""
    words = array("I", pattern(seed, 0, PAGE))
    value = (nonce ^ call) & _MASK
    for index, word in enumerate(words):
        value = (value << 5 | value >> 27) & _MASK
        value = (value ^ word) * _MULTIPLIER & _MASK
        words[index] = value
    return words.tobytes()


def entry_of_call(kind: str, call: int) -> int:
    """The number of the entry that a call takes: the two of some payloads take turns."""
    return 2 - call % 2 if kind.startswith("flip") else 1
