# SPDX-License-Identifier: GPL-2.0-or-later
"""What a benchmark says: a number, what it is held against, and the aim."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Aim(enum.Enum):
    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True)
class Figure:
    """``ratio`` is against ``baseline``, measured in the same run; ``limit`` names the physical
    limit and how close to it this came."""

    name: str
    measured: str  # with its unit
    ratio: float
    baseline: str  # what a user would run instead, or the bare operation
    aim: Aim
    target: float
    limit: str

    @property
    def reached(self) -> bool:
        if self.aim is Aim.AT_LEAST:
            return self.ratio >= self.target
        return self.ratio <= self.target
