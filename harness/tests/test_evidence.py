# SPDX-License-Identifier: GPL-2.0-or-later
"""Judging a cycle from made-up evidence: what no real kernel does, but a lying one might."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jumpback_image
import pytest

from harness.hibernation.evidence import COVERAGE, CycleEvidence, Evidence, SnapshotEvidence
from harness.results import Check

pytestmark = pytest.mark.timeout(30)

PAGE = 4096
RAM_PAGES = 256  # 1 MiB


class _Capture:
    """RAM full of zeros, in which no kernel structure makes sense."""

    detached = ""

    def view(self) -> memoryview:
        return memoryview(bytes(RAM_PAGES * PAGE))

    def detach(self, path: str) -> None:
        self.detached = path


def _evidence(folder: Path, pfns: list[int]) -> CycleEvidence:
    disk = bytearray(1 << 20)
    jumpback_image.write_image(disk, pfns, bytes(range(256)) * 16 * len(pfns))
    (folder / "swap.raw").write_bytes(disk)
    registers = SimpleNamespace(control={"cr3": 0x1000, "cr0": 1 << 31, "cr4": 0x20, "efer": 0x500})
    registers.sp = 0xFFFF888000004000
    snapshot = SnapshotEvidence(
        cast(Any, _Capture()),
        [(0, 0, RAM_PAGES * PAGE)],
        cast(Any, SimpleNamespace(registers=registers)),
    )
    return CycleEvidence(1, snapshot, folder / "swap.raw")


def _parse(evidence: CycleEvidence, wanted: str = "default") -> Check:
    (check,) = evidence.parse_image(
        cast(Any, SimpleNamespace(record=SimpleNamespace(index=1))), wanted
    )
    return check


def _judge(folder: Path) -> Evidence:
    symbols = SimpleNamespace(arch="x86_64", addresses=dict, restored_entry=lambda: 0x123000)
    context = SimpleNamespace(
        options=SimpleNamespace(memory_mib=1),
        folder=folder,
        symbols=symbols,
        result=SimpleNamespace(properties={}),
    )
    return Evidence(cast(Any, context))


def test_a_sound_image_inside_ram_is_accepted(tmp_path: Path) -> None:
    check = _parse(_evidence(tmp_path, [1, 2, RAM_PAGES - 1]))
    assert check.passed and check.compared == 3


def test_a_frame_beyond_ram_fails(tmp_path: Path) -> None:
    check = _parse(_evidence(tmp_path, [1, 2, RAM_PAGES]))
    assert not check.passed
    assert "1 page frames of the image are not RAM" in check.findings[0].message


def test_another_compression_than_asked_for_fails(tmp_path: Path) -> None:
    assert _parse(_evidence(tmp_path, [1, 2]), "lzo").passed
    check = _parse(_evidence(tmp_path, [1, 2]), "lz4")
    assert not check.passed and "asked for lz4, found lzo" in check.findings[0].message


def test_a_damaged_image_fails_and_names_the_place(tmp_path: Path) -> None:
    evidence = _evidence(tmp_path, [1, 2])
    data = bytearray(evidence.disk.read_bytes())
    data[4064:4072] = b"\xff" * 8  # the header's pointer to the first swap map page
    evidence.disk.write_bytes(data)
    check = _parse(evidence)
    assert not check.passed and check.findings[0].owner
    assert check.findings[0].oracle == "image" and check.findings[0].stage == "write-image"


def test_structures_that_make_no_sense_are_a_failed_proof(tmp_path: Path) -> None:
    evidence = _evidence(tmp_path, [1, 2])
    assert _parse(evidence).passed
    judge = _judge(tmp_path)
    checks = {check.name: check for check in judge.verify(evidence)}
    judge.close()
    assert not checks[COVERAGE].passed
    assert "make no sense" in checks[COVERAGE].findings[0].message


def test_an_image_of_another_kernel_is_told(tmp_path: Path) -> None:
    evidence = _evidence(tmp_path, [1, 2])
    _parse(evidence)
    judge = _judge(tmp_path)
    (belongs,) = [c for c in judge.verify(evidence) if c.name == "image is of this kernel"]
    judge.close()
    assert not belongs.passed
    assert any("jump address" in finding.message for finding in belongs.findings)
