# SPDX-License-Identifier: GPL-2.0-or-later
"""Our reader of ELF cores, on files made here, and what the tools' checks say of a file that no
tool can read.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.oracles.vmcore import PAGE, BadVmcore, Vmcore
from harness.oracles.vmcore_checks import VmcoreChecks
from harness.oracles.vmcore_tools import ORACLE, STAGE, ToolChecks

BASE = 2 * PAGE  # offset of physical address 0 in the files below
NOTE = b"OSRELEASE=6.1\n"


def core(
    path: Path,
    loads: list[tuple[int, int, int]],
    *,
    machine: int = 62,
    offsets: dict[int, int] | None = None,
) -> Path:
    """``loads``: (virtual, physical, size). Every page holds its own address, but for holes."""
    note = struct.pack("<III12s", 11, len(NOTE), 0, b"VMCOREINFO") + NOTE + b"\0\0"
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", ident, 4, machine, 1, 0, 64, 0, 0, 64, 56, 1 + len(loads), 0, 0, 0
    )
    programs = struct.pack("<IIQQQQQQ", 4, 0, PAGE, 0, 0, len(note), len(note), 4)
    for number, (virtual, physical, size) in enumerate(loads):
        offset = BASE + physical + (offsets or {}).get(number, 0)
        programs += struct.pack("<IIQQQQQQ", 1, 7, offset, virtual, physical, size, size, PAGE)
    with path.open("wb") as file:
        os.pwrite(file.fileno(), header + programs, 0)
        os.pwrite(file.fileno(), note, PAGE)
        for _, physical, size in loads:
            for gpa in range(physical, physical + size, PAGE):
                os.pwrite(file.fileno(), struct.pack("<Q", gpa) * (PAGE // 8), BASE + gpa)
        os.truncate(file.fileno(), BASE + 64 * PAGE)
    return path


LOADS = [(0xFFFF888000001000, 0x1000, 3 * PAGE), (0, 0x8000, PAGE)]


def test_pages_and_notes_are_read(tmp_path: Path) -> None:
    read = Vmcore.read(core(tmp_path / "core", LOADS))
    assert read.base == BASE and read.pfns == {1, 2, 3, 8}
    assert [(part.virtual, part.physical, part.size) for part in read.stretches] == LOADS
    assert read.note("VMCOREINFO") == NOTE and read.note("CORE") is None
    assert read.page(0x3123) == struct.pack("<Q", 0x3000) * (PAGE // 8)
    ram = read.ram([(0, 0, 64 * PAGE)])
    assert ram.read(0x8000, 8) == struct.pack("<Q", 0x8000)
    assert ram.read(0x5000, 8) == bytes(8)  # a hole
    assert len(read.frames.others(ram)) == 64 - len(read.pfns)


def test_a_page_may_have_several_addresses(tmp_path: Path) -> None:
    text = (0xFFFFFFFF81000000, 0x2000, PAGE)
    read = Vmcore.read(core(tmp_path / "core", [text, *LOADS]))
    assert read.pfns == {1, 2, 3, 8} and len(read.stretches) == 3


@pytest.mark.parametrize(
    ("loads", "offsets", "words"),
    [
        (LOADS, {1: PAGE}, "expected all pages at one offset plus their address, found 2"),
        ([(0, 0x1000, 100)], {}, "0x64 bytes at 0x1000: no whole pages"),
        ([(0, 0x1000, 65 * PAGE)], {}, "program header 1 ends behind the disk"),
        ([], {}, "found 0 offsets"),
        ([(0, 0x1000, 60 * PAGE)] * 5, {}, "program header 5 has 245760 bytes, at most 98304"),
        ([(0, 0x10000, PAGE)], {0: -0xF000 - BASE}, "would stand 61440 bytes before it"),
    ],
)
def test_headers_that_make_no_sense_are_refused(
    tmp_path: Path, loads: list[tuple[int, int, int]], offsets: dict[int, int], words: str
) -> None:
    with pytest.raises(BadVmcore, match=words):
        Vmcore.read(core(tmp_path / "core", loads, offsets=offsets))


def test_what_is_no_elf_core_is_refused(tmp_path: Path) -> None:
    path = core(tmp_path / "core", LOADS)
    with path.open("r+b") as file:
        file.write(b"\x7fELF\x01")  # 32 bits
    with pytest.raises(BadVmcore, match="expected an ELF64 core, found 7f454c4601"):
        Vmcore.read(path)
    path.write_bytes(b"\x7fELF")
    with pytest.raises(BadVmcore, match="cut off"):
        Vmcore.read(path)


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (32, 1 << 63, "cut off: 3 program headers at 0x8000000000000000"),  # e_phoff
        (64 + 32, 2 << 20, "program header 0 has 2097152 bytes, at most 1048576"),  # p_filesz
    ],
)
def test_tables_and_notes_without_end_are_refused(
    tmp_path: Path, at: int, value: int, words: str
) -> None:
    path = core(tmp_path / "core", LOADS)
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), struct.pack("<Q", value), at)
        os.truncate(file.fileno(), 4 << 20)
    with pytest.raises(BadVmcore, match=words):
        Vmcore.read(path)


def test_headers_over_the_whole_disk_are_refused_soon(tmp_path: Path) -> None:
    """65534 headers of a disk of 1 GiB would take hours."""
    path = core(tmp_path / "core", [(0, 0, PAGE)])
    size, count = 1 << 30, 65534
    with path.open("r+b") as file:
        os.truncate(file.fileno(), size)
        os.pwrite(file.fileno(), struct.pack("<QQIHHH", 1 << 20, 0, 0, 64, 56, count), 32)
        os.pwrite(
            file.fileno(),
            struct.pack("<IIQQQQQQ", *(1, 7, 0, 0, 0, size, size, PAGE)) * count,
            1 << 20,
        )
    with pytest.raises(BadVmcore, match="program header 4 has"):
        Vmcore.read(path)


def test_a_kernel_whose_own_pointers_are_wild_is_a_finding(tmp_path: Path) -> None:
    departure = SimpleNamespace(
        capture=SimpleNamespace(view=lambda: memoryview(bytearray(64 * PAGE))),
        regions=[(0, 0, 64 * PAGE)],
        registers=SimpleNamespace(
            control={"cr3": 0, "cr0": 0x80000001, "cr4": 0x20, "efer": 0x500}
        ),
        side=SimpleNamespace(
            arch="x86_64",
            symbols=SimpleNamespace(addresses=lambda: {"vmcoreinfo_data": 0xFFFFFFFF82000000}),
        ),
    )
    read = Vmcore.read(core(tmp_path / "core", LOADS))
    (check,) = VmcoreChecks(cast(Any, departure), [], 1, 1).read(read)
    assert not check.passed and "is not mapped" in check.findings[0].message


def test_a_disk_smaller_than_the_machine_is_refused(tmp_path: Path) -> None:
    read = Vmcore.read(core(tmp_path / "core", LOADS))
    with pytest.raises(BadVmcore, match=f"{PAGE} bytes short of the machine's RAM"):
        read.ram([(0, 0, 65 * PAGE)])


def test_an_image_without_a_log_fails_each_tool_that_looks_for_it(tmp_path: Path) -> None:
    context = SimpleNamespace(
        folder=tmp_path, kernel=SimpleNamespace(arch="x86_64", release="6.1"), progress=None
    )
    read = Vmcore.read(core(tmp_path / "core", LOADS))
    made = ToolChecks(cast(Any, context), 1).open(read, 1, "0123")
    assert [check.passed for check in made] == [True, False, False]
    assert {(f.oracle, f.stage) for check in made for f in check.findings} == {(ORACLE, STAGE)}
    with read.path.open("r+b") as file:
        os.pwrite(file.fileno(), struct.pack("<H", 60000), 56)  # more program headers than it has
    (readelf, *_) = ToolChecks(cast(Any, context), 1).open(read, 1, "0123")
    assert not readelf.passed
