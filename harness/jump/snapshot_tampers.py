# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that the rig puts into its own snapshots, each with what must come of it."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from harness.verdict import Verdict

if TYPE_CHECKING:  # names of faults are listed where native modules may not be built
    from harness.oracles.vmcore import Vmcore

_PAGE = 4096
_HEADER_SIZE, _PROGRAM_SIZE = 64, 56  # Elf64_Ehdr, Elf64_Phdr
_NONCE = b"jumpback.life="
_P_VADDR, _P_FILESZ = 16, 32  # in a program header


@dataclass
class SavedSite:
    """An image that has just been saved, not yet looked at."""

    random: Random
    disk: Path
    earlier: list[Path]  # the images before it
    avoid: frozenset[int]  # frames that may differ anyhow
    done: list[str] = field(default_factory=list)

    def core(self) -> Vmcore:
        from harness.oracles.vmcore import Vmcore

        return Vmcore.read(self.disk)

    def write(self, offset: int, data: bytes) -> None:
        with self.disk.open("r+b") as file:
            os.pwrite(file.fileno(), data, offset)

    def pages(self, core: Vmcore, count: int) -> list[int]:
        """Addresses of pages that are not empty, no two alike."""
        frames = [pfn for pfn in sorted(core.pfns) if pfn not in self.avoid]
        found: dict[bytes, int] = {bytes(_PAGE): 0}
        while len(found) <= count:
            gpa = self.random.choice(frames) * _PAGE
            found.setdefault(core.page(gpa), gpa)
        return list(found.values())[1:]


Hook = Callable[[SavedSite], None]


def _nothing(_: SavedSite) -> None:
    """It acts elsewhere."""


@dataclass(frozen=True)
class SnapshotTamper:
    name: str
    summary: str
    oracle: str = "vmcore-image"  # of the finding that it must cause
    stage: str = "save"  # that must be blamed
    verdict: Verdict = Verdict.FAIL
    number: int = 1  # of the image that it is put into
    saved: Hook = _nothing
    opened: Hook = _nothing  # it has been compared; other people's tools are about to read it
    ignore_map: bool = False
    skip: bool = False  # this image is not saved at all

    @property
    def expect(self) -> str:
        return f"{self.verdict.value}, oracle {self.oracle}, stage {self.stage}"


def _flip_byte(site: SavedSite) -> None:
    core = site.core()
    (gpa,) = site.pages(core, 1)
    at = site.random.randrange(_PAGE)
    site.write(core.base + gpa + at, bytes([core.page(gpa)[at] ^ 0x40]))
    site.done.append(f"flipped a bit of the page at {gpa:#x}, byte {at:#x}")


def _exchange(site: SavedSite) -> None:
    core = site.core()
    one, other = site.pages(core, 2)
    pages = core.page(one), core.page(other)
    site.write(core.base + one, pages[1])
    site.write(core.base + other, pages[0])
    site.done.append(f"exchanged the pages at {one:#x} and {other:#x}")


def _copy_earlier(site: SavedSite) -> None:
    """In place: QEMU has the file open."""
    with site.earlier[-1].open("rb") as old, site.disk.open("r+b") as new:
        shutil.copyfileobj(old, new, 1 << 20)
    site.done.append(f"copied {site.earlier[-1].name} to {site.disk.name}")


def _program(site: SavedSite, field_at: int, change: int) -> int:
    """Changes a 64-bit field of the last program header; the physical address there."""
    data = site.disk.read_bytes()[: 1 << 22]
    count = struct.unpack_from("<H", data, 56)[0]
    at = _HEADER_SIZE + (count - 1) * _PROGRAM_SIZE
    value = struct.unpack_from("<Q", data, at + field_at)[0]
    site.write(at + field_at, struct.pack("<Q", value + change))
    return int(struct.unpack_from("<Q", data, at + 24)[0])


def _move_address(site: SavedSite) -> None:
    gpa = _program(site, _P_VADDR, _PAGE)
    site.done.append(f"moved the virtual address of the stretch at {gpa:#x} by a page")


def _lose_page(site: SavedSite) -> None:
    gpa = _program(site, _P_FILESZ, -_PAGE)
    site.done.append(f"made the stretch at {gpa:#x} a page shorter")


def _change_note(site: SavedSite) -> None:
    with site.disk.open("rb") as file:
        at = file.read(1 << 22).index(b"OSRELEASE=")
    site.write(at + len("OSRELEASE="), b"2")
    site.done.append("wrote another release into VMCOREINFO")


def _change_log(site: SavedSite) -> None:
    core = site.core()
    found = 0
    at = core.map.find(_NONCE)
    while at >= 0:
        site.write(at, _NONCE.upper())
        found += 1
        at = core.map.find(_NONCE, at + 1)
    site.done.append(f"wrote over {found} of {_NONCE.decode()}")


def _change_register(site: SavedSite) -> None:
    with site.disk.open("rb") as file:
        at = file.read(1 << 22).index(b"CORE\0\0\0\0") + 8 + 112
    with site.disk.open("rb") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
    site.write(at, bytes([byte ^ 1]))
    site.done.append("flipped a bit of a register in NT_PRSTATUS")


_ALL = (
    SnapshotTamper("image-byte", "one bit of one page flips on the disk", saved=_flip_byte),
    SnapshotTamper("pages-swapped", "two pages change places on the disk", saved=_exchange),
    SnapshotTamper(
        "map-ignored",
        "B saves the pages that stand in its own window, as if the jump had swapped nothing",
        ignore_map=True,
    ),
    SnapshotTamper(
        "stale-snapshot",
        "the second snapshot is not saved; the first one is copied in its place",
        number=2,
        saved=_copy_earlier,
        skip=True,
    ),
    SnapshotTamper(
        "address-moved", "a program header's virtual address is a page off", saved=_move_address
    ),
    SnapshotTamper("page-lost", "a program header ends a page too early", saved=_lose_page),
    SnapshotTamper(
        "log-changed",
        "A's nonce is written over wherever it stands in the image, before others read it",
        oracle="vmcore-tools",
        stage="tools",
        opened=_change_log,
    ),
    SnapshotTamper(
        "register-changed", "one bit of a saved register flips in the note", saved=_change_register
    ),
    SnapshotTamper("note-changed", "VMCOREINFO names another release", saved=_change_note),
)
SNAPSHOT_TAMPERS = {tamper.name: tamper for tamper in _ALL}
