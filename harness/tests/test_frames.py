# SPDX-License-Identifier: GPL-2.0-or-later
"""The map of frames: states, overrides, runs that cover every frame once."""

from __future__ import annotations

from typing import cast

import pytest

from harness.hibernation.frames import frame_map
from harness.oracles.owner import Owners
from harness.results import FrameState

pytestmark = pytest.mark.timeout(20)


class _Owners:
    def runs(self) -> list[tuple[int, int, str]]:
        return [(0, 4, "reserved"), (4, 6, "slab")]

    def kernel_symbol(self, pfn: int) -> str | None:
        return "_text" if pfn == 2 else None


def test_findings_stand_out_and_every_frame_is_drawn_once() -> None:
    states = bytes([0, 2, 9, 9, 9, 9, 1, 1, 3, 9])
    drawn = frame_map(
        3, states, cast(Owners, _Owners()), different={5}, missing={9}, excepted={3, 5}
    )
    frames = {
        pfn: (run.state, run.owner)
        for run in drawn.runs
        for pfn in range(run.start, run.start + run.count)
    }
    assert sum(run.count for run in drawn.runs) == drawn.frames == 10 == len(frames)
    assert frames[2] == (FrameState.EQUAL, "_text")
    assert frames[3] == (FrameState.EXCEPTED, "reserved")
    assert frames[4] == (FrameState.EQUAL, "slab")
    assert frames[5] == (FrameState.DIFFERENT, "slab")
    assert frames[9] == (FrameState.MISSING, "slab")
    assert [frames[pfn][0] for pfn in (0, 1, 6, 8)] == [
        FrameState.HOLE,
        FrameState.NOSAVE,
        FrameState.FREE,
        FrameState.OWN,
    ]
