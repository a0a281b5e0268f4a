# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fault of harness/jump/tampers.py may lay hands on: the run as it stands at that moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from harness.jump.travel import Travel
from harness.machine import Life
from harness.symbols import Symbols


@dataclass
class JumpSite:
    """``done``: what the fault did, in its own words, for the report."""

    random: Random
    symbols: Symbols
    life: Life
    travel: Travel
    done: list[str] = field(default_factory=list)
