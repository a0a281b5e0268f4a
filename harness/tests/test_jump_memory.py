# SPDX-License-Identifier: GPL-2.0-or-later
"""What the memory checks of a jump say of a difference: on RAM made here, no machine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import jumpback_relocation as relocation
import pytest

from harness import known
from harness.jump.departure import Departure
from harness.jump.side import PAGE
from harness.oracles.jump_memory import LISTED, MemoryChecks
from harness.results import Check

pytestmark = pytest.mark.timeout(20)

FRAMES = 64
CONTROL, SWAP, TABLE, STACK, FREE = (number * PAGE for number in (8, 10, 12, 14, 40))
BEHIND = SWAP + PAGE
DESTINATION, SOURCE = 20 * PAGE, 30 * PAGE
PAGE_OF_IT = "docs/findings/no-reentry-slot.md"


def checked(
    *changes: tuple[int, bytes],
    release: str = "6.1.192",
    arch: str = "x86_64",
    fixed: frozenset[str] = frozenset(),
) -> Check:
    """At the return point, after the callee has made ``changes``."""
    buffer = bytearray(b"\x5a" * FRAMES * PAGE)
    after = bytearray(buffer)
    after[CONTROL : CONTROL + PAGE] = buffer[CONTROL : CONTROL + PAGE]
    for gpa, data in changes:
        after[gpa : gpa + len(data)] = data
    word = {"x86_64": 8, "i386": 4}[arch]
    places = relocation.Places(
        control_page=CONTROL,
        code_size=0x400,
        saved_words=[],
        debug_gdt_span=(0, 0),
        swap_page=SWAP,
        table_root=TABLE,
        table_pages=[TABLE],
        caller_stack_page=STACK,
        caller_stack_used=0x800,
        debug_gdt=(0, 0),
        debug_idt=(0, 0),
    )
    moves = relocation.Moves([(DESTINATION, SOURCE)])
    kernel = relocation.Kernel(release, arch, fixed)
    departure = SimpleNamespace(
        side=SimpleNamespace(role="A", kernel=kernel, word=word, owns=None),
        memory=relocation.Ram(bytes(buffer)),
        arguments=SimpleNamespace(control_page=CONTROL, swap_page=SWAP, head=0),
        places=places,
        moves=moves,
        destinations=moves.destinations,
        stack_below=[],
        callee=None,
        control_at_entry=bytes(buffer[CONTROL : CONTROL + PAGE]),
        left=relocation.FrameCopy(),
        owner=lambda gpa, swapped=False: "someone",
    )
    check, _ = MemoryChecks(cast(Departure, departure), 1, 0).at_return_point(
        relocation.Ram(bytes(after))
    )
    return check


def explained(check: Check) -> bool:
    (defect,) = (defect for defect in known.KNOWN if defect.id == "no-reentry-slot")
    known.Applied((defect,)).explain([check], None)
    return check.known == ["no-reentry-slot"]


@pytest.mark.parametrize(
    ("arch", "change"),
    [
        ("x86_64", (BEHIND, bytes(8))),
        ("x86_64", (BEHIND + 7, bytes(1))),
        ("x86_64", (BEHIND + 1, b"\0\x5a\0")),
        ("i386", (BEHIND, bytes(4))),
    ],
)
def test_the_word_behind_the_swap_page_is_the_defects(arch: str, change: tuple[int, bytes]) -> None:
    check = checked(change, arch=arch)
    (finding,) = check.findings
    assert finding.gpa == change[0] and "known defect" in finding.message
    assert PAGE_OF_IT in finding.message and explained(check)


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("x86_64", [(BEHIND, bytes(9))]),
        ("x86_64", [(BEHIND, bytes(PAGE))]),
        ("x86_64", [(BEHIND, bytes(1)), (BEHIND + 0x800, bytes(1))]),
        ("x86_64", [(BEHIND + 8, bytes(8))]),
        ("x86_64", [(FREE, bytes(8))]),
        ("x86_64", [(FREE, bytes(PAGE))]),
        ("i386", [(BEHIND, bytes(5))]),
        ("x86_64", [(BEHIND, bytes(8)), (FREE, bytes(8))]),
    ],
)
def test_no_other_corruption_is(arch: str, changes: list[tuple[int, bytes]]) -> None:
    check = checked(*changes, arch=arch)
    assert not check.passed and not explained(check)
    assert "known" not in check.findings[-1].message


@pytest.mark.parametrize(
    ("release", "fixed"), [("7.2.13", frozenset()), ("6.1.192", frozenset({"no-reentry-slot"}))]
)
def test_a_kernel_with_the_slot_has_no_such_defect(release: str, fixed: frozenset[str]) -> None:
    check = checked((BEHIND, bytes(8)), release=release, fixed=fixed)
    assert not check.passed and not explained(check)


def test_what_is_not_listed_is_no_ones_doing() -> None:
    pages = [(FREE + number * PAGE, b"\0") for number in range(LISTED + 3)]
    check = checked(*pages)
    assert len(check.findings) == LISTED + 1
    assert check.findings[-1].message == "... and 3 more"
    wide = known.Defect("all", "", {}, (known.Sign("", "", ""),), {})
    known.Applied((wide,)).explain([check], None)
    assert check.known == []
    exact = checked(*pages[:LISTED])
    assert len(exact.findings) == LISTED
    known.Applied((wide,)).explain([exact], None)
    assert exact.known == ["all"]
