# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that the rig puts into its own jumps from kernel to kernel, each with what must come of it.

A tamper is the red twin of an oracle: `jumpback run jump-kernel --tamper NAME` must end with the
verdict, the oracle and the stage that stand here (scenarios/tests/test_jump_kernel.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.verdict import Verdict

if TYPE_CHECKING:  # names of faults are listed where native modules may not be built
    from harness.jump.site import JumpSite

Hook = Callable[["JumpSite"], None]


def _nothing(_: JumpSite) -> None:
    """Most faults act at one moment only."""


@dataclass(frozen=True)
class JumpTamper:
    name: str
    summary: str
    oracle: str = ""  # of the finding that it must cause; "" if the verdict says all
    stage: str = ""  # that must be blamed
    verdict: Verdict = Verdict.FAIL
    at_departure: Hook = _nothing  # stands at A's relocate_kernel; RAM has been captured
    at_entry: Hook = _nothing  # stands at B's entry, not yet compared
    in_callee: Hook = _nothing  # B runs, its agent listens
    at_way_back: Hook = _nothing  # stands at B's relocate_kernel; RAM has been captured
    at_return: Hook = _nothing  # A's pages are back, not yet compared
    after_return: Hook = _nothing  # A runs, its agent listens
    append_to_b: str = ""  # to B's command line

    @property
    def expect(self) -> str:
        where = f", oracle {self.oracle}" if self.oracle else ""
        stage = f", stage {self.stage}" if self.stage else ""
        return f"{self.verdict.value}{where}{stage}"


JUMP_TAMPERS: dict[str, JumpTamper] = {}
