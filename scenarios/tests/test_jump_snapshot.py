# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-snapshot on real kernels: both images are proved, and every fault that the rig puts in is
found and blamed. What needs no boot is in harness/tests/test_vmcore.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scenarios.tests.run_scenario import Ran, run_scenario

from harness.jump.snapshot_tampers import SNAPSHOT_TAMPERS

pytestmark = [pytest.mark.boots, pytest.mark.timeout(600)]

FULL = pytest.mark.full
# Of each image; a check that quietly stops being made is a defect.
EACH = (
    "the image is an ELF core",
    "the image has all of A's memory",
    "the image is A's memory",
    "the image's notes are A's",
    "readelf reads the image",
    "makedumpfile finds A's log in the image",
    "makedumpfile filters the image",
)


def jump_snapshot(folder: Path, *arguments: str) -> Ran:
    return run_scenario(folder, "jump-snapshot", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param((), id="6.1"),
        pytest.param(("--arch", "i386", "--cpus", "2"), marks=FULL, id="6.1-i386-smp"),
        pytest.param(("--cpus", "2"), marks=FULL, id="6.1-smp"),
        # docs/findings/stale-calibration-handler.md: on a busy host it would die of that.
        pytest.param(
            ("--arch", "i386", "--acpi", "off", "--append", "nolapic_timer"),
            marks=FULL,
            id="6.1-i386-acpi-off",
        ),
        pytest.param(
            ("--memory", "512", "--mem-min", "0x6000000", "--mem-max", "0xbffffff"),
            marks=FULL,
            id="6.1-window-elsewhere",
        ),
        pytest.param(("--arch", "i386", "--memory", "1024"), marks=FULL, id="6.1-i386-highmem"),
        pytest.param(("--kernel", "5.10"), marks=FULL, id="5.10"),
        pytest.param(("--kernel", "6.12"), marks=FULL, id="6.12"),
        pytest.param(("--kernel", "7.2", "--cpus", "2"), marks=FULL, id="7.2-smp"),
        pytest.param(("--kernel", "7.3"), marks=FULL, id="7.3"),
    ],
)
def test_both_snapshots_are_proved(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = jump_snapshot(tmp_path, *arguments)
    assert ran.document["verdict"] == "PASS", ran.summary()
    assert ran.exit == 0
    made = {check["name"]: check for check in ran.document["checks"]}
    frames = int(ran.document["options"]["memory"]) * 256
    for number in (1, 2):
        for name in EACH:
            assert made[f"{name}, snapshot {number}"]["compared"] > 0, name
        # All but what the firmware keeps, and no more than half of RAM can be B's.
        assert (
            made[f"the image has all of A's memory, snapshot {number}"]["compared"] > frames - 256
        )
        assert made[f"the image is A's memory, snapshot {number}"]["compared"] >= frames // 2
        # Pages of A that B lives on were saved from where the jump had put them.
        said = ran.document["properties"][f"snapshot_{number}"]
        moved = re.search(r"(\d+) of them from elsewhere", said)
        assert moved is not None and int(moved[1]) > 1000, said
    assert not list(ran.folder.glob("*.vmcore"))
    changed = made["the snapshots differ where A's memory does"]
    assert int(changed["detail"].split()[0]) < changed["compared"] // 2


@pytest.mark.parametrize("name", [pytest.param(name, marks=FULL) for name in SNAPSHOT_TAMPERS])
def test_each_fault_is_found_and_blamed(tmp_path: Path, name: str) -> None:
    tamper = SNAPSHOT_TAMPERS[name]
    ran = jump_snapshot(tmp_path, "--tamper", name)
    assert ran.document["verdict"] == tamper.verdict.value, ran.summary()
    assert ran.exit == 1
    assert ran.document["properties"]["tampered"]
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()
    # No fault of an image is one of the jump's.
    assert {found["oracle"] for found in ran.findings} <= {"vmcore-image", "vmcore-tools"}
    assert f"--tamper {name}" in ran.document["command"]
    assert (ran.folder / "snapshot-1.vmcore").exists()


@pytest.mark.full
def test_a_flipped_bit_is_named_exactly(tmp_path: Path) -> None:
    ran = jump_snapshot(tmp_path, "--tamper", "image-byte")
    found = ran.findings[0]
    assert found["differing_bytes"] == 1, ran.summary()
    said = ran.document["properties"]["tampered"]
    assert f"page at {found['gpa'] & ~0xFFF:#x}, byte {found['gpa'] & 0xFFF:#x}" in said
    expected, wrong = bytes.fromhex(found["expected"]), bytes.fromhex(found["found"])
    assert expected[0] ^ wrong[0] == 0x40 and expected[1:] == wrong[1:]


@pytest.mark.full
def test_swapped_pages_are_both_named(tmp_path: Path) -> None:
    """A sum over the image would not see it."""
    ran = jump_snapshot(tmp_path, "--tamper", "pages-swapped")
    pages = {found["pfn"] for found in ran.findings if found["stage"] == "save"}
    assert len(pages) == 2
    for pfn in pages:
        assert f"{pfn * 4096:#x}" in ran.document["properties"]["tampered"]
