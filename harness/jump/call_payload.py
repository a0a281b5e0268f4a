# SPDX-License-Identifier: GPL-2.0-or-later
"""The small programs that a jump calls (fixtures/kexec/payload): linked for where they will stand,
and taken apart into the segments of a kexec_load call.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.guest_image import GuestFile
from harness.guest_program import GuestImageError, arch_flags, content_key
from harness.kexec.calls import PAGE, PRESERVE_CONTEXT, Call, Content, Segment
from harness.paths import TREE
from kernel.cache import Cache
from kernel.progress import Progress, Silent

SOURCES = TREE / "fixtures" / "kexec" / "payload"

_FLAGS = "-nostdlib -static -no-pie -Wa,--fatal-warnings -Wl,--build-id=none".split()
# Code, results and data of a payload lie in the same page-aligned segments, to be written there.
_FLAGS += ["-Wl,--fatal-warnings", "-Wl,--no-warn-rwx-segments"]

LOW = 0x10000  # below 1 MiB, for what the BIOS has to reach


@dataclass(frozen=True)
class Kind:
    """``source``: the file that has the entry. ``spread``: its segments lie far from each other.
    ``calls_bios``: from a part of it that lies below 1 MiB."""

    name: str
    summary: str
    source: str
    spread: bool = False
    calls_bios: bool = False


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("plain", "works, and returns with a plain ret", "plain.S"),
        Kind("ruin", "ruins tables, selectors, bases and registers, all that it may", "ruin.S"),
        Kind("flip", "two entries that take turns, in a way that needs no slot", "flip.S"),
        Kind("flip-slot", "two entries that take turns by the re-entry slot", "flip_slot.S"),
        Kind(
            "bios",
            "drops to real mode and asks the BIOS for the memory map",
            "bios.S",
            calls_bios=True,
        ),
        Kind("several", "code, results and input in segments far apart", "several.S", spread=True),
        Kind("direction-flag", "comes back with the direction flag set", "direction_flag.S"),
    )
}


@dataclass(frozen=True)
class Layout:
    """Guest physical addresses of a payload's parts. ``low``: only some have one."""

    code: int
    more: int
    data: int
    input: int
    orders: int
    low: int = LOW

    @property
    def symbols(self) -> dict[str, int]:
        return {
            "CODE": self.code,
            "MORE": self.more,
            "DATA": self.data,
            "INPUT": self.input,
            "ORDERS": self.orders,
            "LOW": self.low,
        }


def layout_for(kind: Kind, ram: int) -> Layout:
    """In ``ram`` bytes from address 0 on: in the middle, or spread over its upper three quarters,
    destinations not in the order of the segments."""
    middle = ram // 2 & ~(PAGE - 1)
    if not kind.spread:
        code = middle
        return Layout(code, code + 0x4000, code + 0x8000, code + 0x10000, code + 0x14000)
    eighth = ram // 8 & ~(PAGE - 1)
    return Layout(
        code=5 * eighth + 0x3000,
        more=2 * eighth + 0x7000,
        data=6 * eighth + 0x1000,
        input=3 * eighth,
        orders=7 * eighth - 0x5000,
    )


@dataclass(frozen=True)
class Piece:
    """``data`` at guest physical ``gpa``; whole pages from there on are the payload's."""

    gpa: int
    data: bytes

    @property
    def memsz(self) -> int:
        return (len(self.data) + PAGE - 1) & ~(PAGE - 1)


@dataclass(frozen=True)
class Payload:
    kind: Kind
    arch: str
    layout: Layout
    file: Path  # the pieces' bytes, one behind the other, each from a page's start on
    pieces: tuple[Piece, ...]
    symbols: Mapping[str, int]  # guest physical

    @property
    def entry(self) -> int:
        return self.symbols["entry"]

    @property
    def guest_path(self) -> str:
        return f"/jump/{self.kind.name}"

    def guest_file(self) -> dict[str, GuestFile]:
        """For ``build_guest(files=…)``."""
        return {self.guest_path: GuestFile(self.file)}

    def call(self, seed: int, orders: bytes) -> Call:
        """The load. ``seed``: of the pattern in the input page."""
        offset, segments = 0, []
        for piece in self.pieces:
            content = Content(data=piece.data, path=self.guest_path, offset=offset)
            segments.append(Segment(piece.gpa, piece.memsz, len(piece.data), content))
            offset += piece.memsz
        segments.append(Segment(self.layout.input, PAGE, PAGE, Content(seed)))
        segments.append(Segment(self.layout.orders, PAGE, PAGE, Content(data=orders)))
        return Call(self.kind.name, tuple(segments), flags=PRESERVE_CONTEXT, entry=self.entry)

    @property
    def pages(self) -> list[int]:
        """Guest physical, of all that is the payload's to write."""
        ranges = [(piece.gpa, piece.memsz) for piece in self.pieces]
        ranges += [(self.layout.input, PAGE), (self.layout.orders, PAGE)]
        return [at for start, size in ranges for at in range(start, start + size, PAGE)]


def build_payload(
    kind: Kind,
    arch: str,
    layout: Layout,
    *,
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> Payload:
    """From the cache if it is there. Raises GuestImageError."""
    cache, progress = cache or Cache(), progress or Silent()
    script = SOURCES / "payload.ld"
    units = [SOURCES / kind.source, SOURCES / "common.S"]
    flags = [*_FLAGS, *arch_flags(arch), f"-Wl,-T,{script}"]
    flags += [f"-Wl,--defsym={name}={value:#x}" for name, value in layout.symbols.items()]
    parts = [path.read_bytes() for path in (*units, script, SOURCES / "payload.h")]
    key = f"payload-{content_key(kind.name, *flags, *parts)}"
    place = cache.root / "guest" / key
    with cache.lock(key):
        if not (place / "elf").is_file():
            progress.start(f"payload {kind.name} for {arch}", None)
            with cache.scratch(key) as scratch:
                made = scratch / "payload"
                made.mkdir()
                _link([*flags, "-o", str(made / "elf"), *map(str, units)])
                pieces, _ = read_elf((made / "elf").read_bytes())
                flat = b"".join(piece.data.ljust(piece.memsz, b"\0") for piece in pieces)
                (made / "flat").write_bytes(flat)
                cache.publish_unsynced(made, place)
            progress.done()
    pieces, symbols = read_elf((place / "elf").read_bytes())
    return Payload(kind, arch, layout, place / "flat", pieces, symbols)


def _link(arguments: list[str]) -> None:
    try:
        done = subprocess.run(["gcc", *arguments], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise GuestImageError("gcc is not installed: install gcc") from error
    if done.returncode != 0:
        raise GuestImageError(f"gcc cannot build a payload: {done.stderr.strip()[-2000:]}")


# Elf32_Ehdr and Elf64_Ehdr, Phdr, Shdr, Sym as struct has them; which of the fields are wanted.
_WIDE = {"header": "<16xHHIQQQIHHHHHH", "program": "<IIQQQQQQ", "symbol": "<IBBHQQ"}
_NARROW = {"header": "<16xHHIIIIIHHHHHH", "program": "<IIIIIIII", "symbol": "<IIIBBH"}
_SECTION = {True: "<IIQQQQIIQQ", False: "<IIIIIIIIII"}
_PT_LOAD, _SHT_SYMTAB = 1, 2


def read_elf(raw: bytes) -> tuple[tuple[Piece, ...], dict[str, int]]:
    """The loaded segments that are not empty, in the file's order, and all named symbols."""
    wide = raw[4] == 2  # ELFCLASS64
    formats = _WIDE if wide else _NARROW
    header = struct.unpack_from(formats["header"], raw)
    program_at, section_at = header[4], header[5]
    program_size, programs, section_size, sections = header[8:12]
    pieces = []
    for index in range(programs):
        fields = struct.unpack_from(formats["program"], raw, program_at + index * program_size)
        # p_offset, p_paddr, p_filesz: p_flags stands in another place in the two.
        offset, gpa, size = (fields[i] for i in ((2, 4, 5) if wide else (1, 3, 4)))
        if fields[0] == _PT_LOAD and size:
            pieces.append(Piece(gpa, raw[offset : offset + size]))
    symbols: dict[str, int] = {}
    tables = [
        struct.unpack_from(_SECTION[wide], raw, section_at + index * section_size)
        for index in range(sections)
    ]
    for table in tables:
        if table[1] == _SHT_SYMTAB:
            names = tables[table[6]][4]
            for at in range(table[4], table[4] + table[5], struct.calcsize(formats["symbol"])):
                symbol = struct.unpack_from(formats["symbol"], raw, at)
                start = names + symbol[0]
                name = raw[start : raw.index(b"\0", start)].decode("ascii")
                if name:
                    symbols[name] = symbol[4] if wide else symbol[1]
    return tuple(pieces), symbols
