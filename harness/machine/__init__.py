# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines and their lives. See docs/machine.md."""

from harness.machine.breakpoints import Condition, Hit
from harness.machine.config import MachineConfig
from harness.machine.events import (
    Breakpoint,
    ConsoleLine,
    Event,
    GuestSaid,
    Lost,
    Panic,
    PowerOff,
    Reset,
    SleepState,
    TripleFault,
    UnexpectedEnd,
)
from harness.machine.life import Life
from harness.machine.machine import Machine

__all__ = [
    "Breakpoint",
    "Condition",
    "ConsoleLine",
    "Event",
    "GuestSaid",
    "Hit",
    "Life",
    "Lost",
    "Machine",
    "MachineConfig",
    "Panic",
    "PowerOff",
    "Reset",
    "SleepState",
    "TripleFault",
    "UnexpectedEnd",
]
