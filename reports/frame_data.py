# SPDX-License-Identifier: GPL-2.0-or-later
"""Frame maps made ready for report.html: compact data for the picture, tables for everybody else.

The picture is drawn by a script from run-length data: a 4 GiB machine has a million frames, its
map some hundred thousand runs. The same facts stand in the page as tables, for people without a
pointer, without a screen, or without JavaScript.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.results import FrameMap, FrameRun, FrameState
from reports import wording

REGIONS = 64  # blocks that a map is cut into for its table, before equal neighbours are joined
NOTABLE_SHOWN = 200  # rows

NOTABLE = (
    FrameState.DIFFERENT,
    FrameState.MISSING,
    FrameState.EXCEPTED,
    FrameState.NOSAVE,
)


@dataclass(frozen=True)
class Region:
    """Consecutive frames and how many of them are in which state."""

    start: int  # pfn
    count: int
    states: dict[FrameState, int]

    @property
    def first_address(self) -> str:
        return wording.address(self.start * wording.PAGE_SIZE)

    @property
    def last_address(self) -> str:
        return wording.address((self.start + self.count) * wording.PAGE_SIZE - 1)


def full_runs(frame_map: FrameMap) -> list[FrameRun]:
    """Runs that cover 0 to ``frames`` without a gap, equal neighbours joined.

    Frames of which the map says nothing are holes. Runs out of order or past the end are cut: a
    report must be readable most of all when something is wrong with the data.
    """
    out: list[FrameRun] = []
    at = 0
    for run in sorted(frame_map.runs, key=lambda run: run.start):
        start, end = max(run.start, at), min(run.start + run.count, frame_map.frames)
        if start >= end:
            continue
        if start > at:
            _append(out, FrameRun(at, start - at, FrameState.HOLE))
        _append(out, FrameRun(start, end - start, run.state, run.owner))
        at = end
    if at < frame_map.frames:
        _append(out, FrameRun(at, frame_map.frames - at, FrameState.HOLE))
    return out


def _append(out: list[FrameRun], run: FrameRun) -> None:
    if out and out[-1].state == run.state and out[-1].owner == run.owner:
        last = out[-1]
        out[-1] = FrameRun(last.start, last.count + run.count, run.state, run.owner)
    else:
        out.append(run)


def encode(frame_maps: list[FrameMap]) -> dict[str, Any]:
    """The script's data: ``owners`` for all maps, and per map ``[count, state, owner, ...]``."""
    owners: dict[str, int] = {"": 0}
    maps = []
    for frame_map in frame_maps:
        flat: list[int] = []
        for run in full_runs(frame_map):
            owner = wording.clean_line(run.owner)
            flat += (run.count, int(run.state), owners.setdefault(owner, len(owners)))
        maps.append({"cycle": frame_map.cycle, "frames": frame_map.frames, "runs": flat})
    states = [
        {"code": int(state), "name": wording.STATE_NAMES[state], "bad": state in wording.BAD_STATES}
        for state in FrameState
    ]
    return {
        "pageSize": wording.PAGE_SIZE,
        "states": states,
        "owners": list(owners),
        "maps": maps,
    }


def state_counts(frame_map: FrameMap) -> dict[FrameState, int]:
    """Frames in each state that occurs, in the order of the states' codes."""
    counts = dict.fromkeys(FrameState, 0)
    for run in full_runs(frame_map):
        counts[run.state] += run.count
    return {state: number for state, number in counts.items() if number}


def regions(frame_map: FrameMap) -> list[Region]:
    """At most ``REGIONS`` regions of the whole map; a stretch in one single state is one region."""
    # A power of two of at least 1 MiB: region borders then stand at round addresses.
    block = 256
    while block * REGIONS < frame_map.frames:
        block *= 2
    out: list[Region] = []
    for start, states in _blocks(frame_map, block):
        count = sum(states.values())
        if out and len(states) == 1 and out[-1].states.keys() == states.keys():
            merged = {state: out[-1].states[state] + number for state, number in states.items()}
            out[-1] = Region(out[-1].start, out[-1].count + count, merged)
        else:
            out.append(Region(start, count, states))
    return out


def _blocks(frame_map: FrameMap, block: int) -> list[tuple[int, dict[FrameState, int]]]:
    blocks: list[tuple[int, dict[FrameState, int]]] = []
    for run in full_runs(frame_map):
        at, end = run.start, run.start + run.count
        while at < end:
            index = at // block
            if index == len(blocks):
                blocks.append((index * block, {}))
            part = min(end, (index + 1) * block) - at
            states = blocks[index][1]
            states[run.state] = states.get(run.state, 0) + part
            at += part
    return blocks


def notable_runs(frame_map: FrameMap) -> list[FrameRun]:
    """Runs that a reader looks for: findings first, then what rules excused, then nosave."""
    runs = [run for run in full_runs(frame_map) if run.state in NOTABLE]
    return sorted(runs, key=lambda run: (NOTABLE.index(run.state), run.start))
