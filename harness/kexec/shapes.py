# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads whose page lists are read: every way in which entries can fall on list pages, and segments
that lie where the allocator takes its frames from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from harness.kexec.calls import PAGE, PRESERVE_CONTEXT, SEGMENT_MAX, Call, Content, Segment
from harness.kexec.random_calls import right_segments
from harness.kexec.table import BASE, seg

QUARTER = 24  # pages: of what lies where free frames are, a quarter
RANDOM = 6
OVERLAPPING = "where free frames are"


@dataclass(frozen=True)
class Shape:
    """``traced``: the frames that the allocator gives are watched, and the list is predicted."""

    call: Call
    traced: bool = False

    @property
    def name(self) -> str:
        return self.call.name

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self.call.segments


def entries_per_page(word: int) -> int:
    """Of a list page; the last word is the link to the next one."""
    return PAGE // word - 1


def eighth(ram: int, number: int) -> int:
    """Where an eighth of ``ram`` bytes begins. Destinations have to be RAM: a list that would move
    pages to elsewhere is no sound list, though kexec_load takes it."""
    return ram // 8 * number & ~(PAGE - 1)


def shapes(ram: int, random: Random, word: int) -> list[Shape]:
    """``ram``: bytes of it from address 0 on; 64 MiB at least."""
    full = entries_per_page(word)
    low, middle, high = (eighth(ram, number) for number in (1, 3, 5))

    def pages(at: int, count: int) -> Segment:
        """With a buffer that ends inside the last page but one."""
        bufsz = max(0, (count - 1) * PAGE - 1234)
        return seg(at, count * PAGE, bufsz, Content(random.randrange(1 << 32)))

    found = [
        Shape(_call("empty", (seg(low, 0),)), traced=True),
        Shape(_call("one page", (seg(low, PAGE, PAGE),)), traced=True),
        Shape(_call("several segments", _several(low, middle, high)), traced=True),
        Shape(_call("a full list page", (pages(low, full - 1),))),
        Shape(_call("one entry more", (pages(low, full),))),
        # The second DESTINATION word is the first entry of the second list page.
        Shape(_call("segment on a new list page", (pages(high, full - 1), pages(low, 3)))),
        Shape(_call("empty segment on a new list page", (pages(high, full - 1), seg(low, 0)))),
        Shape(
            _call(
                "three list pages",
                (pages(low, full), seg(middle, 0), pages(high, full), pages(middle, 40)),
            )
        ),
    ]
    for index in range(RANDOM):
        count = random.choice((2, 5, SEGMENT_MAX))
        segments = tuple(right_segments(random, low, count))
        found.append(Shape(_call(f"random {index}", segments), traced=index == 0))
    return found


def _several(low: int, middle: int, high: int) -> tuple[Segment, ...]:
    """Destinations not in order, buffers of every kind."""
    return (
        seg(high, 5 * PAGE, 4 * PAGE + 1),
        seg(low, 2 * PAGE, 0),
        seg(middle, 0),
        seg(middle, 3 * PAGE, 3 * PAGE - 8),
        seg(low + 2 * PAGE, 4 * PAGE, 2 * PAGE),
        seg(0, PAGE, 17),
    )


def probe(ram: int) -> Call:
    """Its source pages show which frames the allocator hands out now."""
    return _call(OVERLAPPING, (seg(eighth(ram, 6), 4 * QUARTER * PAGE, 0),))


def overlapping(sources: Sequence[int], ram: int, random: Random) -> Shape:
    """Destinations over frames (gpa) that the last load got, in this order, and has given back.

    The allocator gives them again, from either end on. The first segments are loaded from frames
    that are no destination; then come frames that are theirs, whose pages must be moved there; and
    frames whose destination is only loaded later, which must be kept until then.
    """
    first = _runs(sources[QUARTER : 2 * QUARTER], 7)
    last = _runs(sources[2 * QUARTER : 3 * QUARTER], 7)
    # As many as it takes to come to the first ones' frames from either end, where runs are short.
    between = (eighth(ram, 6), 3 * QUARTER)
    segments = tuple(
        Segment(at, count * PAGE, count * PAGE - 99, Content(random.randrange(1 << 32)))
        for at, count in (*first, between, *last)
    )
    return Shape(_call(OVERLAPPING, segments), traced=True)


def _runs(frames: Sequence[int], most: int) -> list[tuple[int, int]]:
    """The longest ``most`` runs of consecutive frames: where, how many; the highest first."""
    runs: list[tuple[int, int]] = []
    for gpa in sorted(frames):
        if runs and gpa == runs[-1][0] + runs[-1][1] * PAGE:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((gpa, 1))
    longest = sorted(runs, key=lambda run: -run[1])[:most]
    return sorted(longest, reverse=True)


def _call(name: str, segments: tuple[Segment, ...]) -> Call:
    return Call(name, segments, flags=PRESERVE_CONTEXT, entry=BASE + 0x40)
