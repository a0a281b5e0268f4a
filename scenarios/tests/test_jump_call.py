# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-call on running kernels: every call is proved, and each fault that is put in is found where
it must be. What needs no boot: the payloads as they are linked and loaded.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from scenarios.tests.run_scenario import Ran, run_scenario

from harness.jump.call_options import EXTRA, USUAL
from harness.jump.call_payload import KINDS, LOW, build_payload, layout_for, read_elf
from harness.jump.call_result import (
    DONE,
    RECORD_SIZE,
    RECORDS,
    Orders,
    entry_of_call,
    read_map,
    read_record,
    worked_page,
)
from harness.jump.call_tampers import CALL_TAMPERS
from harness.kexec.calls import PAGE, pattern

# A run takes 4 to 12 s on an idle machine; others may want it at the same time.
pytestmark = pytest.mark.timeout(600)

ARCHES = ("x86_64", "i386")
RAM = 256 << 20

# What each call must have proved; a check that quietly stops being made is a defect.
EACH_CALL = (
    "A's page list is well formed at the departure",
    "A calls relocate_kernel with its image's pages",
    "memory at the callee's entry is A's, pages swapped",
    "registers at the callee's entry",
    "A's memory was left alone by the callee",
    "memory at A's return is that of its departure",
    "registers at A's return",
    "the image's source pages hold what the callee left",
    "the payload did its work",
    "the payload saw what the machine had",
    "the payload says where the next call enters",
    "the image keeps what the payload left",
    "interrupt controllers are handed over",
    "interrupt controllers are restored",
    "the jump's steps are those of the model",
    "the jump returned success",
)
AT_THE_END = (
    "nonces of A are there",
    "workloads went on",
    "all CPUs run",
    "timers fired",
    "the half-written file was finished",
    "interrupt controllers restored",
    "the kernel's log is clean",
)
BY_PAYLOAD = {
    "ruin": "the payload ruined what it may",
    "bios": "the BIOS told of this machine",
}


@pytest.fixture(name="jump_call")
def _jump_call(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `jumpback run jump-call ARGS --json`."""

    def run(*arguments: str) -> Ran:
        return run_scenario(tmp_path, "jump-call", *arguments)

    return run


def check_passed(ran: Ran, payloads: tuple[str, ...], calls: int) -> None:
    assert ran.document["verdict"] == "PASS" and ran.exit == 0, ran.summary()
    made, compared = Counter[str](), Counter[str]()
    for check in ran.document["checks"]:
        made[check["name"]] += 1
        compared[check["name"]] += check["compared"]
    wanted = {name: calls * len(payloads) for name in EACH_CALL} | dict.fromkeys(AT_THE_END, 1)
    wanted |= {name: calls for kind, name in BY_PAYLOAD.items() if kind in payloads}
    assert {name: made[name] for name in wanted} == wanted
    assert all(compared[name] > 0 for name in wanted), compared


# Without a boot


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", KINDS)
def test_payloads_are_loaded_where_they_are_linked_for(arch: str, name: str) -> None:
    kind = KINDS[name]
    for ram in (64 << 20, RAM):
        payload = build_payload(kind, arch, layout_for(kind, ram))
        call = payload.call(7, Orders(1).page)
        assert call.entry == payload.entry == payload.layout.code
        flat = payload.file.read_bytes()
        for segment in call.segments:
            assert segment.mem % PAGE == segment.memsz % PAGE == 0
            assert 0 < segment.bufsz <= segment.memsz and segment.mem + segment.memsz <= ram
            content = segment.content
            if content.path:  # what the guest's loader reads is what the host expects
                assert content.data is not None
                assert flat[content.offset :].startswith(content.data)
        for one, other in combinations(call.segments, 2):
            assert one.mem + one.memsz <= other.mem or other.mem + other.memsz <= one.mem
        assert payload.pages == [
            at for s in call.segments for at in range(s.mem, s.mem + s.memsz, PAGE)
        ]
        for symbol in ("entry", "result", "worked"):
            assert any(p.gpa <= payload.symbols[symbol] < p.gpa + p.memsz for p in payload.pieces)
        assert kind.calls_bios == (LOW in payload.pages)


@pytest.mark.parametrize("arch", ARCHES)
def test_the_readers_of_elf_agree(arch: str) -> None:
    """Ours against binutils'."""
    kind = KINDS["bios"]
    payload = build_payload(kind, arch, layout_for(kind, RAM))
    elf = payload.file.parent / "elf"
    told = subprocess.run(["nm", str(elf)], capture_output=True, text=True, check=True).stdout
    wanted = {line.split()[2]: int(line.split()[0], 16) for line in told.splitlines()}
    _, symbols = read_elf(elf.read_bytes())
    assert {name: symbols[name] for name in wanted} == wanted


def test_every_payload_is_an_option() -> None:
    assert {*USUAL, *EXTRA} == set(KINDS)


def test_what_the_payload_computes() -> None:
    """Step by step, with other words than the host's own reckoning."""
    seed, nonce, call = 5, 0xFEDCBA9876543210, 3
    given, made = pattern(seed, 0, PAGE), b""
    value = (nonce % 2**32) ^ call
    for at in range(0, PAGE, 4):
        rotated = (value * 32) % 2**32 + value // 2**27
        value = (rotated ^ int.from_bytes(given[at : at + 4], "little")) * 0x9E3779B1 % 2**32
        made += value.to_bytes(4, "little")
    assert worked_page(seed, nonce, call) == made
    assert len({worked_page(seed, nonce, call) for call in range(1, 40)}) == 39
    assert worked_page(seed + 1, nonce, call) != made


def test_records_wrap_and_entries_take_turns() -> None:
    page = bytearray(PAGE)
    for number in range(1, RECORDS + 3):
        place = RECORD_SIZE * (1 + (number - 1) % RECORDS)
        page[place + 160 : place + 168] = (DONE + number).to_bytes(8, "little")
    assert read_record(bytes(page), RECORDS + 2).done == DONE + RECORDS + 2
    assert read_record(bytes(page), 3).done == DONE + 3
    assert [entry_of_call("flip", call) for call in (1, 2, 3, 4)] == [1, 2, 1, 2]
    assert [entry_of_call("plain", call) for call in (1, 2)] == [1, 1]
    table = (0x1000).to_bytes(8, "little") + (0x800).to_bytes(8, "little") + b"\2" + bytes(7)
    assert read_map(table, 1) == [(0x1000, 0x17FF, 2)]


# On running kernels


@pytest.mark.boots
@pytest.mark.parametrize(("arch", "payload", "calls"), [("x86_64", "flip", 3), ("i386", "bios", 2)])
def test_calls_are_proved(
    jump_call: Callable[..., Ran], arch: str, payload: str, calls: int
) -> None:
    ran = jump_call("--arch", arch, "--payload", payload, "--calls", str(calls))
    check_passed(ran, (payload,), calls)


@pytest.mark.boots
@pytest.mark.full
@pytest.mark.parametrize("acpi", ["on", "off"])
@pytest.mark.parametrize("cpus", ["1", "2"])
@pytest.mark.parametrize(
    ("kernel", "arch"),
    [
        ("6.1", "x86_64"),
        ("6.1", "i386"),
        ("5.10", "x86_64"),
        ("6.12", "x86_64"),
        ("7.2", "x86_64"),
        ("7.3", "x86_64"),
    ],
)
def test_all_payloads_on_all_kernels(
    jump_call: Callable[..., Ran], kernel: str, arch: str, cpus: str, acpi: str
) -> None:
    ran = jump_call(
        "--kernel", kernel, "--arch", arch, "--cpus", cpus, "--acpi", acpi, "--calls", "3"
    )
    check_passed(ran, USUAL, 3)


@pytest.mark.boots
@pytest.mark.full
@pytest.mark.parametrize("arch", ARCHES)
def test_a_patched_kernel_bears_the_direction_flag(
    jump_call: Callable[..., Ran], arch: str
) -> None:
    check_passed(jump_call("--payload", "direction-flag", "--arch", arch), ("direction-flag",), 3)


@pytest.mark.boots
@pytest.mark.full
@pytest.mark.parametrize("arch", ARCHES)
def test_many_calls_on_one_image(jump_call: Callable[..., Ran], arch: str) -> None:
    """More than the result page has records."""
    calls = RECORDS + 5
    ran = jump_call("--payload", "flip-slot", "--arch", arch, "--calls", str(calls))
    check_passed(ran, ("flip-slot",), calls)


@pytest.mark.boots
@pytest.mark.parametrize("arch", ["x86_64", pytest.param("i386", marks=pytest.mark.full)])
def test_a_stock_kernel_dies_as_known(jump_call: Callable[..., Ran], arch: str) -> None:
    ran = jump_call("--kernel", "6.1-stock", "--arch", arch, "--calls", "1")
    assert ran.document["verdict"] == "XFAIL" and ran.exit == 0, ran.summary()
    assert "gdt-not-reloaded" in ran.document["reason"]
    assert {finding["stage"] for finding in ran.findings} == {"return"}, ran.summary()
    assert any("triple-faulted" in finding["message"] for finding in ran.findings)


@pytest.mark.boots
@pytest.mark.full
@pytest.mark.parametrize("payload", ["plain", "ruin"])
def test_a_lost_preserve_flag_is_found(jump_call: Callable[..., Ran], payload: str) -> None:
    """7.x keeps the flag in R11 on the way back, and a payload may leave anything there."""
    ran = jump_call("--kernel", "7.2+preserve-flag-lost", "--payload", payload, "--calls", "1")
    assert ran.document["verdict"] == "FAIL" and ran.exit == 1, ran.summary()
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == ("jump-memory", "return"), ran.summary()
    assert "image's source page" in first["owner"]


@pytest.mark.boots
@pytest.mark.full
@pytest.mark.parametrize("payload", ["plain", "flip"])
def test_only_some_payloads_need_the_slot(jump_call: Callable[..., Ran], payload: str) -> None:
    ran = jump_call("--kernel", "6.12-stock", "--payload", payload, "--calls", "2")
    if payload == "flip":
        check_passed(ran, ("flip",), 2)
        return
    assert ran.document["verdict"] == "XFAIL" and ran.exit == 0, ran.summary()
    assert "no-reentry-slot" in ran.document["reason"]
    assert ran.document["properties"]["last_call"] == "plain, call 1"


IN_EACH_RUN = ("stray-byte", "idle")


@pytest.mark.boots
@pytest.mark.parametrize(
    "name",
    [
        name if name in IN_EACH_RUN else pytest.param(name, marks=pytest.mark.full)
        for name in CALL_TAMPERS
    ],
)
def test_tamper_is_found_and_blamed(jump_call: Callable[..., Ran], name: str) -> None:
    tamper = CALL_TAMPERS[name]
    payload = tamper.payload or "plain"
    ran = jump_call("--tamper", name, "--payload", payload, "--calls", "1")
    assert ran.document["verdict"] == tamper.verdict.value and ran.exit == 1, ran.summary()
    assert ran.document["properties"]["tampered"], ran.summary()
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()
    assert f"--tamper {name}" in ran.document["command"] and "--seed" in ran.document["command"]


@pytest.mark.boots
@pytest.mark.full
@pytest.mark.parametrize("name", ["stray-byte", "memory-byte"])
def test_one_flipped_byte_is_named_exactly(jump_call: Callable[..., Ran], name: str) -> None:
    ran = jump_call("--tamper", name, "--payload", "plain", "--calls", "1", "--arch", "i386")
    finding = ran.findings[0]
    assert f"{finding['gpa']:#x}" in ran.document["properties"]["tampered"], ran.summary()
    assert finding["differing_bytes"] == 1
    expected, found = bytes.fromhex(finding["expected"]), bytes.fromhex(finding["found"])
    assert expected[0] ^ found[0] == 0x01 and expected[1:] == found[1:]
