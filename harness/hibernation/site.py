# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tamper may lay hands on: the run as it stands at that moment."""

from __future__ import annotations

from random import Random
from dataclasses import dataclass, field
from pathlib import Path

from harness.guest_link import GuestLink
from harness.machine import Life
from harness.machine.interrupts import InterruptControllers
from harness.oracles.liveness import Planted
from harness.oracles.snapshot_stop import SnapshotEntry
from harness.symbols import Symbols


@dataclass
class TamperSite:
    """``done``: what the tamper did, in its own words, for the report."""

    random: Random
    symbols: Symbols
    disk: Path
    planted: Planted
    cycle: int
    life: Life
    guest: GuestLink
    entry: SnapshotEntry | None = None
    interrupts: InterruptControllers | None = None  # before the save
    hibernation: str = ""  # id of the agent's request
    done: list[str] = field(default_factory=list)
