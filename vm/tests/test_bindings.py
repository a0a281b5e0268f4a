# SPDX-License-Identifier: GPL-2.0-or-later
"""What Python sees of vm/: types, errors, and how long views of RAM live."""

from __future__ import annotations

import gc
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jumpback_vm
import pytest

MIB = 1024 * 1024
BASE = 0xFFFFFFFF81000000


@pytest.fixture
def shm() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jumpback-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def sparse_ram(path: Path, size: int = 4 * MIB) -> jumpback_vm.RamFile:
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(MIB)
        file.write(b"resident" * 512)
    return jumpback_vm.RamFile(path, jumpback_vm.q35_regions(size))


def tiny_vmlinux() -> bytes:
    """One segment, one section, one symbol: `start` of 16 bytes at BASE."""
    text = bytes(range(16))
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, BASE, 16)
    strings = b"\0start\0"
    blobs = [text, symbols, strings]
    offsets = [64 + 56]
    for blob in blobs:
        offsets.append(offsets[-1] + len(blob))
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0x1000000, 64, offsets[3], 0, 64, 56, 1, 64, 4, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, offsets[0], BASE, 0x1000000, 16, 16, 1)
    sections = bytes(64)
    for kind, flags, address, index, link, entry in (
        (1, 6, BASE, 0, 0, 0),
        (2, 0, 0, 1, 3, 24),
        (3, 0, 0, 2, 0, 0),
    ):
        sections += struct.pack(
            "<IIQQQQIIQQ",
            *(0, kind, flags, address, offsets[index], len(blobs[index]), link, 0, 1, entry),
        )
    return header + segment + b"".join(blobs) + sections


def test_vmlinux(tmp_path: Path) -> None:
    path = tmp_path / "vmlinux"
    path.write_bytes(tiny_vmlinux())
    kernel = jumpback_vm.Vmlinux(path)
    assert kernel.arch == "x86_64"
    assert kernel.entry == 0x1000000
    assert kernel.symbol("start") == (BASE, 16)
    assert kernel.symbols("none") == []
    assert kernel.find(BASE + 15) == ("start", 15)
    assert kernel.find(BASE + 16) is None
    assert kernel.find_phys(0x1000003) == ("start", 3)
    assert kernel.to_phys(BASE) == 0x1000000
    assert kernel.to_virt(0x1000000) == BASE
    assert kernel.to_virt(0) is None
    assert kernel.read(BASE + 4, 3) == b"\4\5\6"
    assert kernel.config() is None
    assert kernel.sorted_symbols() == [(BASE, 16, "start")]
    assert kernel.segments == [(BASE, 0x1000000, 16, 16)]


def test_errors_name_place_and_expectation(tmp_path: Path) -> None:
    path = tmp_path / "not-a-kernel"
    path.write_bytes(b"#!/bin/sh\n" * 200)
    with pytest.raises(jumpback_vm.VmError) as caught:
        jumpback_vm.Vmlinux(path)
    assert caught.value.where == str(path)
    assert "is not an ELF file" in caught.value.what
    assert str(caught.value) == f"{path}: {caught.value.what}"
    with pytest.raises(jumpback_vm.VmError, match="is not a bzImage"):
        jumpback_vm.BzImage(path)
    with pytest.raises(TypeError):
        jumpback_vm.Vmlinux(17)  # type: ignore[arg-type]


def test_ram_view_is_read_only_live_and_keeps_ram_alive(shm: Path) -> None:
    ram = sparse_ram(shm / "ram")
    assert len(ram) == 4 * MIB
    assert ram.regions == [(0, 0, 4 * MIB)]
    assert ram.extents() == [(MIB, 4096)]
    view = ram.view()
    with pytest.raises(TypeError):
        view[0] = 1
    with (shm / "ram").open("r+b") as file:
        file.seek(MIB)
        file.write(b"RES")
    del ram
    gc.collect()
    assert bytes(view[MIB : MIB + 8]) == b"RESident"


def test_capture_to_path_and_descriptor(shm: Path) -> None:
    ram = sparse_ram(shm / "ram")
    stats = ram.capture(shm / "copy")
    assert stats.bytes_copied == 4096
    assert stats.seconds > 0
    assert (shm / "copy").stat().st_blocks * 512 == 4096
    assert (shm / "copy").stat().st_size == 4 * MIB
    fd = os.memfd_create("capture")
    try:
        assert ram.capture(fd).bytes_copied == 4096
        assert os.pread(fd, 8, MIB) == b"resident"
    finally:
        os.close(fd)
    with pytest.raises(jumpback_vm.VmError, match="No such file"):
        ram.capture(shm / "none" / "copy")
    assert ram.read(MIB, 8) == b"resident"
    assert ram.offset_of(4 * MIB) is None
    assert ram.gpa_at(MIB) == MIB


def test_pool_waits_for_views(shm: Path) -> None:
    ram = sparse_ram(shm / "ram")
    (shm / "pool").mkdir()
    pool = jumpback_vm.CapturePool(shm / "pool", len(ram), slots=1)
    pool.prepare(ram)
    capture = pool.capture(ram)
    assert capture.extents() == ram.extents()
    assert capture.stats.bytes_copied == 4096
    view = capture.view()
    del capture
    assert pool.in_use == 1, "a view holds the slot"
    with pytest.raises(jumpback_vm.VmError, match="all 1 capture slots"):
        pool.capture(ram)
    assert bytes(view[MIB : MIB + 8]) == b"resident"
    view.release()
    assert (pool.in_use, pool.free, pool.limit) == (0, 1, 1)
    kept = pool.capture(ram)
    kept.detach(shm / "kept")
    assert kept.path == str(shm / "kept")
    del pool, kept
    assert list((shm / "pool").iterdir()) == []
    assert (shm / "kept").stat().st_blocks * 512 == 4096


def test_q35_split() -> None:
    assert jumpback_vm.q35_regions(0xB0000000) == [
        (0, 0, 0x80000000),
        (0x100000000, 0x80000000, 0x30000000),
    ]
    with pytest.raises(jumpback_vm.VmError):
        jumpback_vm.q35_regions(5)


def test_kvm_probe(tmp_path: Path) -> None:
    missing = jumpback_vm.kvm_probe(tmp_path / "kvm")
    assert missing.outcome == "absent"
    assert not missing.usable
    assert missing.line.startswith("TCG: there is no ")
    real = jumpback_vm.kvm_probe()
    assert real.seconds < 0.5
    assert real.usable == real.line.startswith("KVM: ")
