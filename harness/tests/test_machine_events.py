# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of events, waiting for one, and what each says of a life."""

from __future__ import annotations

import threading
import time

import pytest

from harness.machine.eventlog import EventLog, matcher
from harness.machine.events import (
    Breakpoint,
    ConsoleLine,
    Event,
    Hang,
    Lost,
    Panic,
    PowerOff,
    Reset,
    SleepState,
    TripleFault,
    outcome_of,
)
from harness.results import LifeOutcome

pytestmark = pytest.mark.timeout(10)


def test_outcomes() -> None:
    expected: list[tuple[Event, LifeOutcome | None]] = [
        (PowerOff(0, SleepState.S4), LifeOutcome.POWER_OFF_S4),
        (PowerOff(0, SleepState.S5), LifeOutcome.POWER_OFF_S5),
        (Reset(0), LifeOutcome.RESET),
        (TripleFault(0), LifeOutcome.TRIPLE_FAULT),
        (Panic(0, "x"), LifeOutcome.PANIC),
        (Hang(0, "boot", 1), LifeOutcome.HANG),
        (Lost(0, "x"), LifeOutcome.LOST),
        (ConsoleLine(0, "x"), None),
        (Breakpoint(0, 0, 0), None),
    ]
    assert [outcome_of(event) for event, _ in expected] == [outcome for _, outcome in expected]
    assert [event.ends_life for event, _ in expected] == [
        outcome not in (None, LifeOutcome.PANIC, LifeOutcome.HANG) for _, outcome in expected
    ]


def test_descriptions_name_what_happened() -> None:
    assert Breakpoint(0, 1, 0x1000, "swsusp_save").describe() == (
        "cpu 1 stopped at swsusp_save 0x1000"
    )
    assert "S4" in PowerOff(0, SleepState.S4).describe()
    assert "stage boot took longer than its limit of 2.5 s" == Hang(0, "boot", 2.5).describe()


def test_matchers() -> None:
    assert matcher(Reset)(Reset(0)) and not matcher(Reset)(TripleFault(0))
    assert matcher((Reset, TripleFault))(TripleFault(0))
    assert matcher(lambda event: event.time == 3)(Reset(3))


def test_wait_takes_what_is_there_and_what_comes() -> None:
    log = EventLog()
    log.append(ConsoleLine(1, "a"))
    log.append(Reset(2))
    assert log.wait(matcher(Reset), 0, 1) == (1, Reset(2))
    assert log.wait(matcher(Reset), 2, 0.01) is None
    threading.Timer(0.05, log.append, (Reset(3),)).start()
    began = time.monotonic()
    assert log.wait(matcher(Reset), 2, 5) == (2, Reset(3))
    assert time.monotonic() - began < 2


def test_wait_looks_at_each_event_once() -> None:
    log = EventLog()
    for number in range(5):
        log.append(ConsoleLine(number, str(number)))
    seen: list[Event] = []

    def look(event: Event) -> bool:
        seen.append(event)
        return False

    threading.Timer(0.02, log.append, (Reset(9),)).start()
    assert log.wait(look, 3, 0.1) is None
    assert [event.time for event in seen] == [3, 4, 9]
