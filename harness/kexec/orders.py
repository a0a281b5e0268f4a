# SPDX-License-Identifier: GPL-2.0-or-later
"""Every two checks of kexec_load failed by one call: the errno shows which is made first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

from harness.kexec.calls import ARCH_SHIFT, ON_CRASH, PAGE, SEGMENT_MAX, Call, Segment
from harness.kexec.table import BAD, BASE, GOOD, Room, seg


@dataclass
class _Parts:
    """A call under construction; faults alter it."""

    segments: list[Segment]
    flags: int = 0
    entry: int = 0
    array: str = ""
    nr: int | None = None


def _faults(room: Room) -> dict[str, Callable[[_Parts], None]]:
    """One way to fail each check, so that any of them go together. Segments of their own are put
    behind those that are there: which of several is guilty must not decide."""
    at = iter(range(BASE + (1 << 20), BASE + (1 << 30), 1 << 20))

    def flags(parts: _Parts) -> None:
        parts.flags |= 0x1000

    def count(parts: _Parts) -> None:
        parts.nr = SEGMENT_MAX + 1

    def architecture(parts: _Parts) -> None:
        parts.flags |= 1 << ARCH_SHIFT

    def unreadable(parts: _Parts) -> None:
        parts.array = "bad"

    def crash_entry(parts: _Parts) -> None:
        parts.flags |= ON_CRASH
        parts.entry = room.word_max

    def crash_region(parts: _Parts) -> None:
        parts.flags |= ON_CRASH
        parts.entry = parts.entry or room.conditions.crash[0]

    def wraps(parts: _Parts) -> None:
        parts.segments.append(seg(room.word_max + 1 - PAGE, 2 * PAGE, 0))

    def alignment(parts: _Parts) -> None:
        parts.segments.append(seg(next(at) + 1, PAGE, 0))

    def overlap(parts: _Parts) -> None:
        place = next(at)
        parts.segments += [seg(place, 2 * PAGE, 0), seg(place + PAGE, PAGE, 0)]

    def buffer_larger(parts: _Parts) -> None:
        parts.segments.append(seg(next(at), PAGE, PAGE + 1))

    def too_many_pages(parts: _Parts) -> None:
        parts.segments.append(seg(room.away, (room.half + 1) * PAGE, 0))

    def buffer_bad(parts: _Parts) -> None:
        parts.segments.append(seg(next(at), PAGE, PAGE, BAD))

    return {
        "flags": flags,
        "count": count,
        "architecture": architecture,
        "unreadable": unreadable,
        "crash entry": crash_entry,
        "wraps": wraps,
        "alignment": alignment,
        "overlap": overlap,
        "larger buffer": buffer_larger,
        "too many pages": too_many_pages,
        "crash region": crash_region,
        "bad buffer": buffer_bad,
    }


def order_calls(room: Room) -> list[Call]:
    """Every two checks failed by one call, the segments in either order."""
    faults = _faults(room)
    calls = []
    for (name, fault), (other, second) in combinations(faults.items(), 2):
        for turned in (False, True):
            parts = _Parts([GOOD[0]])
            for apply in (second, fault) if turned else (fault, second):
                apply(parts)
            calls.append(
                Call(
                    f"order: {name} and {other}{', turned round' if turned else ''}",
                    tuple(parts.segments),
                    flags=parts.flags,
                    entry=parts.entry,
                    array=parts.array,
                    nr=parts.nr,
                )
            )
    return calls
