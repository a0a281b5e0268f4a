# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's jump loader with bzImages that are none: it refuses, and says what and where.

It runs on the host here, so each case must fail before the loader looks at the machine: the last
thing that any of them gets to is the initramfs, which is not there.
"""

from __future__ import annotations

import platform
import struct
import subprocess
from pathlib import Path

import pytest

from harness.jump.loader import build_loader

pytestmark = pytest.mark.timeout(60)

SETUP = 2 * 512  # bytes: one sector of setup code and the boot sector
PARAGRAPHS = 0x100  # of the kernel behind it
ABSENT = "/nonexistent/initrd"
# struct setup_header, Documentation/arch/x86/boot.rst: offset in the file, format, value.
GOOD: dict[str, tuple[int, str, int]] = {
    "setup_sects": (0x1F1, "<B", 1),
    "syssize": (0x1F4, "<I", PARAGRAPHS),
    "header": (0x202, "<I", 0x53726448),  # "HdrS"
    "version": (0x206, "<H", 0x20F),
    "loadflags": (0x211, "<B", 1),  # LOADED_HIGH
    "initrd_addr_max": (0x22C, "<I", 0x7FFFFFFF),
    "kernel_alignment": (0x230, "<I", 0x200000),
    "relocatable_kernel": (0x234, "<B", 1),
    "xloadflags": (0x236, "<H", 1),  # XLF_KERNEL_64
    "cmdline_size": (0x238, "<I", 2047),
    "pref_address": (0x258, "<Q", 0x1000000),
    "init_size": (0x260, "<I", 0x100000),
}


def bzimage(**changed: int) -> bytes:
    data = bytearray(SETUP + 16 * PARAGRAPHS)
    for name, (at, form, value) in GOOD.items():
        struct.pack_into(form, data, at, changed.get(name, value))
    assert changed.keys() <= GOOD.keys()
    return bytes(data)


def refused(arch: str, folder: Path, data: bytes, *more: str) -> str:
    """What the loader says of ``data``, without its own name and the file's."""
    path = folder / "bzImage"
    path.write_bytes(data)
    words = [build_loader(arch), "load", "--kernel", path, "--initrd", ABSENT, *more]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout) == (1, ""), done
    return done.stderr.strip().removeprefix("jb-jump: ").removeprefix(f"{path}: ")


@pytest.fixture(params=["x86_64", "i386"])
def arch(request: pytest.FixtureRequest) -> str:
    if platform.machine() != "x86_64":
        pytest.skip("the guest's program does not run on this host")
    return str(request.param)


def test_a_good_kernel_is_taken(arch: str, tmp_path: Path) -> None:
    assert refused(arch, tmp_path, bzimage()).startswith(f"{ABSENT}: ")
    # Where it wants to stand is no window: it is moved.
    low = bzimage(pref_address=0x100000)
    assert refused(arch, tmp_path, low, "--mem-min", "0x1000000").startswith(f"{ABSENT}: ")


def test_a_kernel_that_is_cut_off(arch: str, tmp_path: Path) -> None:
    """By one byte, and where its own size is not known any more."""
    good = bzimage()
    assert refused(arch, tmp_path, good[:-1]) == (
        f"ends at byte {len(good) - 1:#x}: its header says that the kernel ends at {len(good):#x}"
    )
    assert refused(arch, tmp_path, good[:SETUP]) == "ends inside its setup code"
    assert refused(arch, tmp_path, good[:0x300]).startswith("no bzImage")
    assert refused(arch, tmp_path, b"").startswith("no bzImage")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"header": 0}, 'no bzImage: "HdrS" was expected at byte 0x202'),
        ({"version": 0x20B}, "boot protocol 0x20b: 0x20c or later was expected"),
        ({"kernel_alignment": 0, "pref_address": 0}, "kernel_alignment 0 at byte 0x230"),
        ({"relocatable_kernel": 0, "pref_address": 0x8000000}, "not relocatable"),
        ({"init_size": 0x8000000}, "needs 134217728 bytes from 0x200000 on"),
        ({"pref_address": 0xFFFFFFFFFFF00000, "relocatable_kernel": 0}, "not relocatable"),
        ({"cmdline_size": 63}, "cmdline_size 63 at byte 0x238"),
        ({"cmdline_size": 64}, "cmdline_size 64 at byte 0x238"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_header_that_nothing_can_be_loaded_by(
    arch: str, tmp_path: Path, changed: dict[str, int], message: str
) -> None:
    assert refused(arch, tmp_path, bzimage(**changed)).startswith(message)


def test_only_a_64_bit_loader_asks_for_a_64_bit_entry(arch: str, tmp_path: Path) -> None:
    said = refused(arch, tmp_path, bzimage(xloadflags=0))
    assert said.startswith("has no 64-bit entry" if arch == "x86_64" else f"{ABSENT}: ")
