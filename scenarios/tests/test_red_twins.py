# SPDX-License-Identifier: GPL-2.0-or-later
"""The rig proves itself: each tamper ends in the verdict, oracle and stage that it names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scenarios.tests.conftest import Ran

from harness.faults.planted_page import SPARE_OFFSET
from harness.faults.tamper import TAMPERS

pytestmark = [pytest.mark.boots, pytest.mark.timeout(600)]

BYTE_TAMPERS = ("image-byte", "written-byte", "copy-byte", "restored-byte")


@pytest.mark.parametrize("name", TAMPERS)
def test_tamper_is_found_and_blamed(jumpback: Callable[..., Ran], name: str) -> None:
    tamper = TAMPERS[name]
    ran = jumpback("--tamper", name)
    assert ran.document["properties"].get("tampered") or tamper.acts_by_configuration
    assert ran.document["verdict"] == tamper.verdict.value, ran.summary()
    assert ran.document["failed_stage"] == tamper.stage, ran.summary()
    if tamper.oracle:
        assert tamper.oracle in {finding["oracle"] for finding in ran.findings}, ran.summary()
        first = ran.findings[0]
        assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()
    assert ran.exit != 0
    assert "--tamper" in ran.document["command"] and "--seed" in ran.document["command"]


@pytest.mark.parametrize("name", BYTE_TAMPERS)
def test_one_flipped_byte_is_named_exactly(jumpback: Callable[..., Ran], name: str) -> None:
    ran = jumpback("--tamper", name)
    (finding,) = [found for found in ran.findings if found["oracle"] == TAMPERS[name].oracle]
    assert f"{finding['pfn']:#x}" in ran.document["properties"]["tampered"] or (
        f"{finding['gpa'] & ~0xFFF:#x}" in ran.document["properties"]["tampered"]
        or f"{finding['gpa']:#x}" in ran.document["properties"]["tampered"]
    ), ran.summary()
    assert finding["gpa"] == finding["pfn"] * 4096 + SPARE_OFFSET
    assert finding["differing_bytes"] == 1
    expected, found = bytes.fromhex(finding["expected"]), bytes.fromhex(finding["found"])
    assert expected[0] ^ found[0] == 0x01 and expected[1:] == found[1:]


def test_swapped_pages_are_both_named(jumpback: Callable[..., Ran]) -> None:
    """Sums and hashes without order would not see it."""
    ran = jumpback("--tamper", "image-swap")
    pages = {found["pfn"] for found in ran.findings if found["oracle"] == "restored-memory"}
    assert len(pages) == 2
    for pfn in pages:
        assert f"{pfn:#x}" in ran.document["properties"]["tampered"]


def test_failed_run_keeps_its_evidence(jumpback: Callable[..., Ran]) -> None:
    ran = jumpback("--tamper", "image-byte")
    assert (ran.folder / "swap.raw").exists()
    assert (ran.folder / "restored-cycle-01.ram").exists()
    assert ran.document["console_tail"]
    report = (ran.folder / "report.html").read_text()
    assert "restored-memory" in report


def test_panic_ends_the_run_at_once(jumpback: Callable[..., Ran]) -> None:
    ran = jumpback("--tamper", "panic")
    life = ran.document["lives"][0]
    assert life["outcome"] == "panic"
    (panic,) = [event for event in life["events"] if event["kind"] == "panic"][:1]
    # Usual: 0.2 s; whatever runs beside this test may take its time, a stage's limit may not pass.
    assert ran.document["seconds"] - panic["time"] < 5.0
    assert any("Kernel panic" in line for line in ran.document["console_tail"])


@pytest.mark.parametrize(
    "name, style, expected",
    [
        ("image-byte", "bisect", 1),
        ("kill-machine", "bisect", 125),
        ("kill-machine", "kselftest", 4),
        ("fresh-boot", "kselftest", 1),
    ],
)
def test_exit_styles(jumpback: Callable[..., Ran], name: str, style: str, expected: int) -> None:
    assert jumpback("--tamper", name, "--exit-style", style).exit == expected


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_the_owner_is_who_has_the_page_now(jumpback: Callable[..., Ran], arch: str) -> None:
    """On i386 the planted page lies in what was init memory: no symbol of vmlinux owns it."""
    ran = jumpback("--tamper", "restored-byte", "--arch", arch)
    (finding,) = [found for found in ran.findings if found["oracle"] == "restored-memory"]
    assert "shared memory" in finding["owner"], ran.summary()
