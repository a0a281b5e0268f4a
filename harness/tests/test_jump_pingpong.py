# SPDX-License-Identifier: GPL-2.0-or-later
"""What jump-pingpong says of numbers: no guest runs."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import UsageError
from harness.jump.pingpong_story import sinking
from scenarios.jump_pingpong import SCENARIO

TURNS = [22, 23, 30, 48]
FREE = 11551


@pytest.mark.parametrize("turns", TURNS)
def test_a_page_lost_in_each_turn_is_found(turns: int) -> None:
    assert sinking([FREE - turn for turn in range(turns)])
    # Not hidden by what comes and goes.
    random = Random(turns)
    assert sinking([FREE - 16 * turn + random.randrange(16) for turn in range(turns)])


@pytest.mark.parametrize("turns", TURNS)
def test_memory_that_comes_and_goes_is_no_leak(turns: int) -> None:
    random = Random(turns)
    assert not sinking([FREE] * turns)
    assert not sinking([FREE + turn for turn in range(turns)])
    for _ in range(100):
        assert not sinking([FREE - random.randrange(2) for _ in range(turns)])
    # As 7.2 has it with two CPUs.
    seen = [11585, 11634, 11731, 11725, 11743, 11752, 11740, 11755]
    assert not sinking(seen)
    # A CPU's list is filled once, at whatever turn, with 63 pages.
    for filled in range(turns):
        assert not sinking([FREE - 63 * (turn >= filled) for turn in range(turns)])


def test_a_loss_is_told_in_pages_and_turns() -> None:
    (problem,) = sinking([100 - turn for turn in range(24)])
    assert problem == "of 93 free pages 85 are left, then 77, in 24 turns"


def test_what_excludes_each_other_is_refused() -> None:
    options = {option.name.replace("-", "_"): option.default for option in SCENARIO.options}
    options |= {"boot_once": True, "count_instructions": True}
    with pytest.raises(UsageError, match="give only one"):
        SCENARIO.run(cast(Any, SimpleNamespace()), options)
