# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine tells: one class an event. ``time`` is seconds since the run began."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import JumpbackError
from harness.results import LifeOutcome


@dataclass(frozen=True)
class Event:
    """Base of all events. ``ends_life``: after it, this life will execute no more instructions.
    ``passing``: a wait for something else passes it over."""

    time: float
    kind: ClassVar[str] = "event"
    ends_life: ClassVar[bool] = False
    passing: ClassVar[bool] = False

    def describe(self) -> str:
        """One line for timelines and messages."""
        return self.kind


@dataclass(frozen=True)
class ConsoleLine(Event):
    text: str
    kind: ClassVar[str] = "console"
    passing: ClassVar[bool] = True

    def describe(self) -> str:
        return self.text


@dataclass(frozen=True)
class GuestSaid(Event):
    """The agent in the guest spoke without being asked; the harness tells it to the life."""

    name: str  # "hello", "resumed", …
    text: str
    kind: ClassVar[str] = "agent"
    passing: ClassVar[bool] = True

    def describe(self) -> str:
        return f"agent: {self.name} {self.text}".rstrip()


@dataclass(frozen=True)
class RigDid(Event):
    """Something was done to the machine from outside: it was saved, or restored."""

    text: str
    kind: ClassVar[str] = "rig"
    passing: ClassVar[bool] = True

    def describe(self) -> str:
        return self.text


@dataclass(frozen=True)
class Breakpoint(Event):
    """All CPUs stand still; ``cpu`` is about to execute ``address`` (guest virtual)."""

    cpu: int
    address: int
    symbol: str = ""
    kind: ClassVar[str] = "breakpoint"

    def describe(self) -> str:
        return f"cpu {self.cpu} stopped at {self.symbol or 'breakpoint'} {self.address:#x}"


class SleepState(enum.Enum):
    """The ACPI sleep state that the guest asked the chipset for."""

    S4 = "S4"  # hibernation's platform mode
    S5 = "S5"  # soft off


@dataclass(frozen=True)
class PowerOff(Event):
    state: SleepState
    kind: ClassVar[str] = "power-off"
    ends_life: ClassVar[bool] = True

    def describe(self) -> str:
        return f"guest powered off ({self.state.value})"


@dataclass(frozen=True)
class Reset(Event):
    kind: ClassVar[str] = "reset"
    ends_life: ClassVar[bool] = True

    def describe(self) -> str:
        return "guest reset the machine"


@dataclass(frozen=True)
class TripleFault(Event):
    kind: ClassVar[str] = "triple fault"
    ends_life: ClassVar[bool] = True

    def describe(self) -> str:
        return "guest triple-faulted"


@dataclass(frozen=True)
class Panic(Event):
    """The console says so. The CPUs may still be running (spinning, as a rule)."""

    text: str
    kind: ClassVar[str] = "panic"

    def describe(self) -> str:
        return self.text


@dataclass(frozen=True)
class Hang(Event):
    """A stage passed its time limit, or (limit 0) the guest did not answer in it."""

    stage: str
    limit: float  # seconds
    kind: ClassVar[str] = "hang"

    def describe(self) -> str:
        if self.limit == 0.0:
            return f"the guest is silent in stage {self.stage}"
        return f"stage {self.stage} took longer than its limit of {self.limit:g} s"


@dataclass(frozen=True)
class Lost(Event):
    """The machine's process is gone, or no longer answers, without the rig having ended it."""

    reason: str
    kind: ClassVar[str] = "lost"
    ends_life: ClassVar[bool] = True

    def describe(self) -> str:
        return self.reason


def outcome_of(event: Event) -> LifeOutcome | None:
    """How a life ended if ``event`` is the first that says so; None for events that end nothing."""
    if isinstance(event, PowerOff):
        return (
            LifeOutcome.POWER_OFF_S4 if event.state is SleepState.S4 else LifeOutcome.POWER_OFF_S5
        )
    for kind, outcome in (
        (Reset, LifeOutcome.RESET),
        (TripleFault, LifeOutcome.TRIPLE_FAULT),
        (Panic, LifeOutcome.PANIC),
        (Hang, LifeOutcome.HANG),
        (Lost, LifeOutcome.LOST),
    ):
        if isinstance(event, kind):
            return outcome
    return None


class UnexpectedEnd(JumpbackError):
    """The guest reset, powered off or triple-faulted while something else was awaited.

    Neither a panic nor the rig's fault: the caller decides what it means for the verdict.
    """

    def __init__(self, message: str, event: Event) -> None:
        super().__init__(message)
        self.event = event
