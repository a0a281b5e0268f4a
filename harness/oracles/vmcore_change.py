# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed between two images of one kernel: what changed in its memory between its departures,
and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import jumpback_relocation as relocation

from harness.jump.departure import Departure
from harness.jump.side import PAGE
from harness.oracles.vmcore import Vmcore
from harness.oracles.vmcore_checks import LISTED, ORACLE, SAVE
from harness.results import Check, Finding

_SECOND = 2  # the image that is blamed


@dataclass(frozen=True)
class Snapshot:
    """``memory``: RAM at the departure; it is kept while this is."""

    core: Vmcore
    memory: relocation.Ram


@dataclass(frozen=True)
class Planted:
    """A page of A that the run itself wrote to, or did not: the text that each image must hold."""

    name: str
    gpa: int
    first: bytes
    second: bytes


def compare_snapshots(
    first: Snapshot, second: Snapshot, departure: Departure, planted: list[Planted], life: int
) -> list[Check]:
    """``departure``: the second one."""
    return [
        _changes(first, second, departure, life),
        *(_planted(first, second, page, life) for page in planted),
    ]


def _changes(first: Snapshot, second: Snapshot, departure: Departure, life: int) -> Check:
    """Both images hold their captures; so the same pages must differ. Pages that a jump itself
    writes to are not asked."""
    check = Check("the snapshots differ where A's memory does", ORACLE, True, cycle=_SECOND)
    allowed = departure.side.kernel.allowances(departure.places, "there", True)
    # A page that only one of them has is no difference: it was in A's image, or is now.
    left_out = (
        first.core.frames.others(departure.memory)
        | second.core.frames.others(departure.memory)
        | relocation.Frames(sorted({allowance.gpa // PAGE for allowance in allowed}))
    )

    def differing(before: relocation.Ram, after: relocation.Ram) -> set[int]:
        found = relocation.compare_swapped(
            before, after, relocation.Moves(), left_out=left_out, limit=after.end_pfn
        )
        check.compared = found.compared
        return {page.pfn for page in found.differences}

    regions = departure.regions
    wanted = differing(first.memory, second.memory)
    found = differing(first.core.ram(regions), second.core.ram(regions))
    for pfn in sorted(wanted ^ found)[:LISTED]:
        text = (
            "the page changed between the departures, the images have it alike"
            if pfn in wanted
            else "the images differ in a page that did not change between the departures"
        )
        _fail(check, text, life, pfn * PAGE, departure.owner(pfn * PAGE))
    if wanted and not check.findings:
        check.detail = f"{len(wanted)} of {check.compared} pages changed"
    elif not wanted:
        _fail(check, "no page of A changed between the departures: nothing was proved", life)
    return check


def _planted(first: Snapshot, second: Snapshot, page: Planted, life: int) -> Check:
    check = Check(f"both snapshots have what was planted: {page.name}", ORACLE, True, cycle=_SECOND)
    check.compared = 2
    for core, wanted in ((first.core, page.first), (second.core, page.second)):
        at = page.gpa % PAGE
        found = core.page(page.gpa)[at : at + len(wanted)]
        if found != wanted:
            text = f"{core.path.name}, {page.gpa:#x}: expected {wanted!r}, found {found!r}"
            _fail(check, text, life, page.gpa, page.name)
    whole = core_pages_equal(first, second, page.gpa)
    if whole != (page.first == page.second):
        text = f"{page.gpa:#x}: expected the images to {'differ' if whole else 'agree'} there"
        _fail(check, text, life, page.gpa, page.name)
    return check


def core_pages_equal(first: Snapshot, second: Snapshot, gpa: int) -> bool:
    return first.core.page(gpa) == second.core.page(gpa)


def _fail(check: Check, text: str, life: int, gpa: int | None = None, owner: str = "") -> None:
    check.passed = False
    check.detail = check.detail or text
    pfn = None if gpa is None else gpa // PAGE
    check.findings.append(
        Finding(ORACLE, SAVE, text, cycle=_SECOND, life=life, gpa=gpa, pfn=pfn, owner=owner or None)
    )
