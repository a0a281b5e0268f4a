# SPDX-License-Identifier: GPL-2.0-or-later
"""What jump-race judges at the end of a run, without one: lost memory, and a CPU that died."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness import known
from harness.context import RunContext
from harness.jump.race_answers import LOAD, Answer, Round
from harness.jump.race_death import KernelGdt, gdt_at_death
from harness.jump.race_story import NO_LEAK, RaceOptions, RaceStory, _Frames
from harness.kexec.guest_view import GuestView
from harness.machine import Life
from harness.machine.registers import Registers, TableRegister
from harness.results import Check
from harness.symbols import Symbols
from kernel import KernelUnderTest

pytestmark = pytest.mark.timeout(20)


def leak_check(loads: int, lost: int) -> Check:
    checks: list[Check] = []
    story = RaceStory(
        cast(RunContext, SimpleNamespace(record=checks.append)), RaceOptions(rounds=1)
    )
    story._rounds = [Round(0, [Answer(LOAD, 1, 0, 1, 0)] * loads)]
    life = SimpleNamespace(record=SimpleNamespace(index=1))
    view = SimpleNamespace(variable=lambda name: 0)
    none: frozenset[int] = frozenset()
    story._leaks(
        cast(Life, life), cast(GuestView, view), _Frames(none, 50000), _Frames(none, 50000 - lost)
    )
    (check,) = (check for check in checks if check.name == NO_LEAK)
    return check


@pytest.mark.parametrize("loads", [1700, 3400, 17000])
def test_half_a_frame_a_load_is_a_leak(loads: int) -> None:
    assert not leak_check(loads, loads // 2).passed
    assert leak_check(loads, 300).passed and leak_check(loads, -300).passed


GDT = 0xFFFF88800F60B000  # as the kernel's memory has it
ALIAS = TableRegister(0xFFFFFE0000001000, 0x7F)  # in the fixmap
OWN = KernelGdt((ALIAS, TableRegister(GDT, 0x7F)))
LOST = TableRegister(0, 0)


def death(
    gdtr: TableRegister,
    place: str = "restore_processor_state",
    fixed: frozenset[str] = frozenset(),
) -> Check | None:
    registers = SimpleNamespace(rip=0x1069, gdtr=gdtr)
    symbols = SimpleNamespace(find=lambda address: (place, address - 0x1000) if place else None)
    at = Path()
    tested = KernelUnderTest("6.1", "6.1", "x86_64", "6.1.0", at, at, None, "", "", (), fixed=fixed)
    return gdt_at_death(cast(Registers, registers), OWN, cast(Symbols, symbols), tested, 1)


def explained(check: Check) -> bool:
    (defect,) = (defect for defect in known.KNOWN if defect.id == "gdt-not-reloaded")
    known.Applied((defect,)).explain([check], None)
    return bool(check.known)


def test_a_lost_gdt_is_the_known_defect() -> None:
    check = death(LOST)
    assert check is not None and not check.passed and explained(check)
    base, limit = check.findings
    assert (
        f"gdtr.base: expected {GDT:#x}, found 0x0 in restore_processor_state+0x69" in base.message
    )
    assert limit.message.startswith("gdtr.limit: expected 0x7f, found 0x0")
    assert "docs/findings/gdt-not-reloaded.md" in base.message


@pytest.mark.parametrize("gdtr", OWN.tables)
def test_a_death_with_the_kernels_gdt_is_not(gdtr: TableRegister) -> None:
    check = death(gdtr)
    assert check is not None and check.passed


@pytest.mark.parametrize("place", ["machine_kexec", "relocate_kernel", "schedule", ""])
def test_a_death_elsewhere_says_nothing_of_the_gdt(place: str) -> None:
    assert death(LOST, place) is None


def test_a_kernel_that_was_mended_should_not_die_so() -> None:
    check = death(LOST, fixed=frozenset({"gdt-not-reloaded"}))
    assert check is not None and not check.passed and not explained(check)
    assert "which this kernel should not have" in check.detail
