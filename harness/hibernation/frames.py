# SPDX-License-Identifier: GPL-2.0-or-later
"""The map of all page frames that the report draws."""

from __future__ import annotations

from collections.abc import Collection

from harness.oracles.owner import Owners
from harness.results import FrameMap, FrameRun, FrameState


def frame_map(
    cycle: int,
    states: bytes | memoryview,
    owners: Owners,
    *,
    different: Collection[int],
    missing: Collection[int],
    excepted: Collection[int],
) -> FrameMap:
    """``states``: one FrameState a frame, from the accounting of the snapshot. What was saved and
    has no finding was compared, and is equal."""
    codes = bytearray(states)
    saved, equal = FrameState.SAVED, FrameState.EQUAL
    codes = bytearray(bytes(codes).replace(bytes([saved]), bytes([equal])))
    for pfns, state in (
        (excepted, FrameState.EXCEPTED),
        (missing, FrameState.MISSING),
        (different, FrameState.DIFFERENT),
    ):
        for pfn in pfns:
            if pfn < len(codes):
                codes[pfn] = state
    runs: list[FrameRun] = []
    for start, count, text in owners.runs():
        for pfn in range(start, min(start + count, len(codes))):
            state = FrameState(codes[pfn])
            owner = owners.kernel_symbol(pfn) or text
            last = runs[-1] if runs else None
            if (
                last is not None
                and last.state is state
                and last.owner == owner
                and last.start + last.count == pfn
            ):
                last.count += 1
            else:
                runs.append(FrameRun(pfn, 1, state, owner))
    return FrameMap(cycle, len(codes), runs)
