# SPDX-License-Identifier: GPL-2.0-or-later
"""An ELF core of a kernel's memory, as `jb-jump save` writes it on a disk: our own reader.

In the file a page stands at one offset (``base``) plus its physical address, so that the file is
RAM with holes. A page may have several virtual addresses, hence several program headers.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import jumpback_relocation as relocation

PAGE = 4096
MACHINE = {"x86_64": 62, "i386": 3}  # EM_X86_64, EM_386
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
_PROGRAM = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
_NOTE = struct.Struct("<III")
_ET_CORE, _PT_LOAD, _PT_NOTE = 4, 1, 4
# Of all stretches, in sizes of the file: a page has at most three addresses, in the map of all RAM,
# that of the kernel and that of modules.
_MOST = 4
_NOTES_MOST = 1 << 20  # bytes of notes; usual: some thousand
_IDENT = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian


@dataclass(frozen=True)
class Status:
    """NT_PRSTATUS: struct elf_prstatus of an architecture."""

    size: int
    word: int
    registers: int  # offset of pr_reg
    order: tuple[str, ...]  # in it: struct user_regs_struct
    kept: tuple[str, ...]  # those that a C function must not change

    def register(self, data: bytes, name: str) -> int:
        at = self.registers + self.order.index(name) * self.word
        return int.from_bytes(data[at : at + self.word], "little")


_ORDER_64 = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig ip cs flags sp ss"
_ORDER_32 = "rbx rcx rdx rsi rdi rbp rax ds es fs gs orig ip cs flags sp ss"
STATUS = {
    "x86_64": Status(
        *(336, 8, 112),
        order=tuple(_ORDER_64.split()),
        kept=("rbx", "rbp", "r12", "r13", "r14", "r15"),
    ),
    "i386": Status(
        *(144, 4, 72), order=tuple(_ORDER_32.split()), kept=("rbx", "rbp", "rsi", "rdi")
    ),
}


class BadVmcore(Exception):
    """The file is no such core; ``str()`` says what was expected."""


@dataclass(frozen=True)
class Stretch:
    """A PT_LOAD."""

    virtual: int  # 0: it has no virtual address
    physical: int
    offset: int  # in the file
    size: int


@dataclass(frozen=True)
class Note:
    name: str
    kind: int
    data: bytes


@dataclass(frozen=True)
class Vmcore:
    """``map``: the whole file; it stays as it was written only while nobody writes to the disk."""

    path: Path
    machine: int
    stretches: list[Stretch]
    notes: list[Note]
    base: int
    map: mmap.mmap
    extents: list[tuple[int, int]]
    pfns: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        pfns = {
            pfn
            for part in self.stretches
            for pfn in range(part.physical // PAGE, (part.physical + part.size) // PAGE)
        }
        object.__setattr__(self, "pfns", frozenset(pfns))

    @property
    def frames(self) -> relocation.Frames:
        return relocation.Frames(sorted(self.pfns))

    @classmethod
    def read(cls, path: Path) -> Vmcore:
        """Raises BadVmcore."""
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            extents = _extents(file.fileno(), len(mapped))
        try:
            return cls._parse(path, mapped, extents)
        except struct.error as error:
            raise BadVmcore(f"{path.name}: cut off: {error}") from error

    @classmethod
    def _parse(cls, path: Path, mapped: mmap.mmap, extents: list[tuple[int, int]]) -> Vmcore:
        head = _HEADER.unpack_from(mapped, 0)
        ident, kind, machine, table, size, count = *head[:3], head[5], head[9], head[10]
        if ident[: len(_IDENT)] != _IDENT or kind != _ET_CORE or size != _PROGRAM.size:
            raise BadVmcore(
                f"{path.name}: expected an ELF64 core, found {ident[:7].hex()}, type {kind}"
            )
        if table + count * size > len(mapped):
            raise BadVmcore(f"{path.name}: cut off: {count} program headers at {table:#x}")
        stretches: list[Stretch] = []
        notes: list[Note] = []
        total = 0
        for number in range(count):
            program = _PROGRAM.unpack_from(mapped, table + number * size)
            part = Stretch(program[3], program[4], program[2], program[5])
            if part.offset + part.size > len(mapped):
                raise BadVmcore(f"{path.name}: program header {number} ends behind the disk")
            most = _NOTES_MOST if program[0] == _PT_NOTE else _MOST * len(mapped) - total
            if part.size > most:
                raise BadVmcore(
                    f"{path.name}: program header {number} has {part.size} bytes, at most {most} "
                    "were expected"
                )
            if program[0] == _PT_NOTE:
                notes += _notes(mapped[part.offset : part.offset + part.size])
            elif program[0] == _PT_LOAD:
                stretches.append(part)
                total += part.size
        bases = {part.offset - part.physical for part in stretches}
        if len(bases) != 1:
            raise BadVmcore(
                f"{path.name}: expected all pages at one offset plus their address, found "
                f"{len(bases)} offsets in {len(stretches)} stretches"
            )
        (base,) = bases
        if base < 0:
            raise BadVmcore(f"{path.name}: physical address 0 would stand {-base} bytes before it")
        odd = [part for part in stretches if part.physical % PAGE or part.size % PAGE]
        if odd:
            raise BadVmcore(
                f"{path.name}: {odd[0].size:#x} bytes at {odd[0].physical:#x}: no whole pages"
            )
        return cls(path, machine, stretches, notes, base, mapped, extents)

    def note(self, name: str) -> bytes | None:
        return next((note.data for note in self.notes if note.name == name), None)

    def ram(self, regions: list[tuple[int, int, int]]) -> relocation.Ram:
        """As RAM of a machine with these regions: (gpa, offset, size). What is not in ``pfns``
        reads as whatever the disk has there."""
        parts = [(gpa, self.base + gpa, size) for gpa, _, size in regions]
        short = max(offset + size for _, offset, size in parts) - len(self.map)
        if short > 0:
            raise BadVmcore(f"{self.path.name}: {short} bytes short of the machine's RAM")
        return relocation.Ram(memoryview(self.map), parts, self.extents)

    def page(self, gpa: int) -> bytes:
        start = self.base + gpa // PAGE * PAGE
        return self.map[start : start + PAGE]


def _notes(data: bytes) -> list[Note]:
    found, at = [], 0
    while at + _NOTE.size <= len(data):
        name_size, size, kind = _NOTE.unpack_from(data, at)
        name_at = at + _NOTE.size
        data_at = name_at + (name_size + 3) // 4 * 4
        name = data[name_at : name_at + name_size].rstrip(b"\0").decode("ascii", "replace")
        if name_size == 0 and size == 0:
            break
        found.append(Note(name, kind, data[data_at : data_at + size]))
        at = data_at + (size + 3) // 4 * 4
    return found


def _extents(descriptor: int, size: int) -> list[tuple[int, int]]:
    """What of a sparse file is there: (offset, length), whole pages."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            break
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        found.append((start, at - start))
    return found
