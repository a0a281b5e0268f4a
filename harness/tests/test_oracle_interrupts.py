# SPDX-License-Identifier: GPL-2.0-or-later
"""The interrupt oracle: what it compares, seen red; what it masks, seen green."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from harness.machine.interrupts import InterruptControllers
from harness.oracles.interrupts import check_interrupts
from harness.results import Check

pytestmark = pytest.mark.timeout(20)


def _controllers() -> InterruptControllers:
    lapic = {"spiv": 0x1FF, "lvt0": 0x10700, "lvt1": 0x400, "lvterr": 0xFE, "ldr": 1 << 24}
    return InterruptControllers(
        lapics={0: {**lapic, "dfr": 0xFFFFFFFF, "tpr": 0}},
        ioapic={"id": 0, "irr": 0, "redirection 4": 0x0100000000000924, "redirection 9": 0x18000},
        pics=[
            {"imr": 0xFB, "irq_base": 0x30, "elcr": 0, "irr": 1},
            {"imr": 0xFF, "irq_base": 0x38, "elcr": 0xC, "irr": 0},
        ],
        text={},
    )


def _compare(change: Callable[[InterruptControllers], None]) -> Check:
    after = copy.deepcopy(_controllers())
    change(after)
    return check_interrupts(_controllers(), after, cycle=1, life=2)


def test_the_same_state_passes() -> None:
    check = _compare(lambda after: None)
    assert check.passed and check.compared == 15


@pytest.mark.parametrize(
    ("change", "owner"),
    [
        (lambda a: a.lapics[0].update(lvt0=0x700), "LAPIC 0 LVT0"),  # unmasked
        (lambda a: a.lapics[0].update(spiv=0xFF), "LAPIC 0 SPIV"),  # disabled
        (lambda a: a.ioapic.update({"redirection 4": 0x0100000000010924}), "IOAPIC RTE 4"),
        (lambda a: a.ioapic.update({"redirection 9": 0x10000}), "IOAPIC RTE 9"),  # edge
        (lambda a: a.ioapic.pop("redirection 9"), "IOAPIC RTE 9"),
        (lambda a: a.pics[0].update(imr=0xFF), "8259 master IMR"),
        (lambda a: a.pics[1].update(elcr=0), "8259 slave ELCR"),
        (lambda a: a.lapics.clear(), "LAPIC 0 SPIV"),
    ],
)
def test_what_is_not_restored_is_named(
    change: Callable[[InterruptControllers], None], owner: str
) -> None:
    check = _compare(change)
    assert not check.passed
    assert check.findings[0].owner == owner and check.findings[0].stage == "wake"


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.ioapic.update({"redirection 4": 0x0200000000004925}),  # vector, CPU, IRR
        lambda a: a.lapics[0].update(lvt0=0x11700),  # delivery status
        lambda a: a.pics[0].update(irr=0),
        lambda a: a.ioapic.update(irr=0x10),
    ],
)
def test_what_changes_by_right_is_not_a_finding(
    change: Callable[[InterruptControllers], None]
) -> None:
    assert _compare(change).passed


def test_controllers_that_could_not_be_read_are_no_proof() -> None:
    nothing = InterruptControllers(lapics={}, ioapic={}, pics=[], text={})
    assert not check_interrupts(nothing, nothing, cycle=1, life=2).passed
