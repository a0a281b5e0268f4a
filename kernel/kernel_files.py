# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the little that is needed from a vmlinux and a bzImage, of any version."""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kernel.errors import UserKernelError

_EM_386, _EM_X86_64 = 3, 62
_PT_LOAD = 1
_SHT_SYMTAB = 2
_BANNER_LIMIT = 1024  # bytes; the longest banner seen has about 250


@dataclass(frozen=True)
class _Layout:
    """Where the fields stand in ELF32 and ELF64 (elf.h)."""

    header: struct.Struct  # e_phoff, e_shoff, e_phentsize, e_phnum, e_shentsize, e_shnum
    header_at: int
    segment: struct.Struct
    section: struct.Struct
    symbol: struct.Struct


_ELF32 = _Layout(
    header=struct.Struct("<II6xHHHH"),  # e_flags and e_ehsize are skipped
    header_at=28,
    segment=struct.Struct("<IIIIIIII"),
    section=struct.Struct("<IIIIIIIIII"),
    symbol=struct.Struct("<IIIBBH"),
)
_ELF64 = _Layout(
    header=struct.Struct("<QQ6xHHHH"),
    header_at=32,
    segment=struct.Struct("<IIQQQQQQ"),
    section=struct.Struct("<IIQQQQIIQQ"),
    symbol=struct.Struct("<IBBHQQ"),
)


class Vmlinux:
    """An ELF kernel, mapped. A context manager; raises UserKernelError for what is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as handle:
                self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise UserKernelError(f"{path}: cannot be read: {error}") from error
        ident = self._map[:20]
        if len(ident) < 20 or ident[:4] != b"\x7fELF" or ident[5] != 1:
            raise UserKernelError(f"{path}: not a little-endian ELF file; a vmlinux is wanted")
        self._layout = _ELF64 if ident[4] == 2 else _ELF32
        machine = int.from_bytes(ident[18:20], "little")
        try:
            self.arch = {(2, _EM_X86_64): "x86_64", (1, _EM_386): "i386"}[ident[4], machine]
        except KeyError:
            raise UserKernelError(
                f"{path}: ELF machine {machine}, class {ident[4]}: neither x86_64 nor i386"
            ) from None

    def __enter__(self) -> Vmlinux:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._map.close()

    def banner(self) -> str:
        """The text of linux_banner (init/version.c), what the kernel prints first."""
        text = self._read(self._symbol(b"linux_banner"), _BANNER_LIMIT)
        return text.partition(b"\0")[0].decode(errors="replace").rstrip("\n")

    def embedded_config(self) -> str | None:
        """The config that CONFIG_IKCONFIG puts between two marks (kernel/configs.c), if any."""
        start = self._map.find(b"IKCFG_ST\x1f\x8b")
        end = self._map.find(b"IKCFG_ED", start)
        if start < 0 or end < 0:
            return None
        try:
            return zlib.decompress(self._map[start + 8 : end], wbits=31).decode(errors="replace")
        except zlib.error as error:
            raise UserKernelError(
                f"{self.path}: its embedded config is damaged: {error}"
            ) from error

    def _symbol(self, name: bytes) -> int:
        try:
            _, offset, _, _, size, number = self._header()
            sections = [
                self._layout.section.unpack_from(self._map, offset + size * index)
                for index in range(number)
            ]
            for section in sections:
                if section[1] == _SHT_SYMTAB:
                    strings = sections[section[6]]
                    value = self._find(section, strings, name)
                    if value is not None:
                        return value
        except (struct.error, IndexError) as error:
            raise UserKernelError(f"{self.path}: damaged ELF file: {error}") from error
        raise UserKernelError(
            f"{self.path}: no symbol {name.decode()}; "
            "a vmlinux with its symbol table is wanted, not a stripped one"
        )

    def _find(self, symtab: tuple[int, ...], strings: tuple[int, ...], name: bytes) -> int | None:
        start, end = strings[4], strings[4] + strings[5]
        offsets = set()  # several: the linker lets names share a common end
        at = self._map.find(name + b"\0", start, end)
        while at >= 0:
            offsets.add(at - start)
            at = self._map.find(name + b"\0", at + 1, end)
        table = self._map[symtab[4] : symtab[4] + symtab[5]]
        wide = self._layout is _ELF64
        for entry in self._layout.symbol.iter_unpack(table):
            if entry[0] in offsets:
                return int(entry[4] if wide else entry[1])
        return None

    def _read(self, address: int, size: int) -> bytes:
        offset, _, entry_size, number, _, _ = self._header()
        wide = self._layout is _ELF64
        for index in range(number):
            fields = self._layout.segment.unpack_from(self._map, offset + entry_size * index)
            kind, file_at, start = (fields[0], fields[2], fields[3]) if wide else fields[:3]
            in_file = fields[5] if wide else fields[4]
            if kind == _PT_LOAD and start <= address < start + in_file:
                return self._map[file_at + address - start : file_at + address - start + size]
        raise UserKernelError(f"{self.path}: address {address:#x} is in no segment of the file")

    def _header(self) -> tuple[int, int, int, int, int, int]:
        segments, sections, *counts = self._layout.header.unpack_from(
            self._map, self._layout.header_at
        )
        return segments, sections, counts[0], counts[1], counts[2], counts[3]


def bzimage_version(path: Path) -> str:
    """The version text of a bzImage: "RELEASE (USER@HOST) #1 SMP DATE".

    Documentation/x86/boot.rst: "HdrS" at 0x202; at 0x20e a pointer to the text, less 0x200.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(0x10000)
    except OSError as error:
        raise UserKernelError(f"{path}: cannot be read: {error}") from error
    if head[0x202:0x206] != b"HdrS":
        raise UserKernelError(f"{path}: not a bzImage (no HdrS at 0x202)")
    start = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    text = head[start:].partition(b"\0")[0]
    if start == 0x200 or not text:
        raise UserKernelError(f"{path}: this bzImage says no version")
    return text.decode(errors="replace")


def belong_together(banner: str, version: str) -> bool:
    """Whether vmlinux's ``banner`` and bzImage's ``version`` come from one build.

    Banner: "Linux version RELEASE (USER@HOST) (COMPILER) #1 SMP DATE"; the bzImage has the same
    release, user and build number and date, without the compiler.
    """
    builder, number, build = version.partition(" #")
    return banner.startswith(f"Linux version {builder} (") and (
        not number or banner.endswith(f" #{build.rstrip()}")
    )
