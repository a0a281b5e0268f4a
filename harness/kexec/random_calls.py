# SPDX-License-Identifier: GPL-2.0-or-later
"""Random kexec_load calls from a seed: right ones, and right ones with a few things made wrong.

Wrong values are drawn from the neighbourhood of the limits, as values from everywhere would nearly
all fail at the first check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from harness.kexec.calls import (
    ARCH_NUMBER,
    ARCH_SHIFT,
    ON_CRASH,
    PAGE,
    PRESERVE_CONTEXT,
    SEGMENT_MAX,
    UNREADABLE,
    Call,
    Content,
    Segment,
)
from harness.kexec.table import BASE, Room

_PAGES = 12  # of one segment of a right call, at most
_SPAN = 4096  # pages over which the segments of a right call are spread


def random_calls(room: Room, random: Random, count: int) -> list[Call]:
    return [_one(room, random).named(f"random {index}") for index in range(count)]


def right_segments(random: Random, base: int, count: int, span: int = _SPAN) -> list[Segment]:
    """``count`` segments of up to ``_PAGES`` pages in ``span`` pages from ``base`` on, in any
    order, none over another."""
    slots = random.sample(range(span // (_PAGES + 1)), count)
    segments = []
    for slot in slots:
        memsz = random.choice((0, 1, 1, 2, 3, random.randrange(_PAGES + 1))) * PAGE
        bufsz = random.choice((memsz, memsz, 0, random.randrange(memsz + 1)))
        mem = base + (slot * (_PAGES + 1) + random.randrange(2)) * PAGE
        segments.append(Segment(mem, memsz, bufsz, Content(random.randrange(1 << 32))))
    return segments


def _one(room: Room, random: Random) -> Call:
    flags, base = random.choice((0, PRESERVE_CONTEXT)), BASE
    entry = random.randrange(room.word_max + 1)
    if room.has_crash_region and random.random() < 0.2:
        flags |= ON_CRASH
        base = room.conditions.crash[0]
        entry = random.randint(*room.conditions.crash)
    if random.random() < 0.2:
        flags |= ARCH_NUMBER[room.arch] << ARCH_SHIFT
    span = min(_SPAN, (room.conditions.crash[1] + 1 - base) // PAGE) if flags & ON_CRASH else _SPAN
    most = min(SEGMENT_MAX, span // (_PAGES + 1))
    number = min(most, random.choice((1, 1, 2, 3, 5, SEGMENT_MAX)))
    call = Call("", tuple(right_segments(random, base, number, span)), flags=flags, entry=entry)
    for _ in range(random.choice((0, 0, 1, 1, 1, 2, 3))):
        call = _damage(room, random, call)
    return call


def _damage(room: Room, random: Random, call: Call) -> Call:
    ways: list[Callable[[], Call]] = [
        lambda: replace(call, flags=call.flags ^ 1 << random.randrange(room.word_max.bit_length())),
        lambda: replace(call, flags=call.flags ^ ON_CRASH),
        lambda: replace(call, entry=_edge(room, random)),
        lambda: replace(call, array=random.choice((*UNREADABLE, "cut@0", "cut@1"))),
        lambda: replace(call, nr=random.choice((SEGMENT_MAX + 1, 1 << 31, len(call.segments) - 1))),
        *[lambda: _damage_segment(room, random, call)] * 6,
    ]
    return random.choice(ways)()


def _damage_segment(room: Room, random: Random, call: Call) -> Call:
    index = random.randrange(len(call.segments))
    segment = call.segments[index]
    other = random.choice(call.segments)
    pointer = Content(pointer=random.choice(UNREADABLE))
    ways: list[Callable[[], Segment]] = [
        lambda: replace(segment, mem=segment.mem ^ 1 << random.randrange(12)),
        lambda: replace(segment, memsz=segment.memsz ^ 1 << random.randrange(12)),
        lambda: replace(segment, mem=_edge(room, random)),
        lambda: replace(segment, memsz=_edge(room, random)),
        lambda: replace(segment, mem=other.mem),
        lambda: replace(segment, mem=max(0, other.mem + other.memsz - PAGE)),
        lambda: replace(segment, bufsz=segment.memsz + random.choice((1, PAGE))),
        lambda: replace(segment, bufsz=_edge(room, random), content=pointer),
        lambda: replace(segment, content=pointer),
        lambda: replace(segment, content=Content(1, readable=PAGE * random.randrange(3))),
    ]
    changed = random.choice(ways)()
    changed = _affordable(room, changed)
    # An empty segment at 0 is a case of its own (harness/kexec/table.py, helper_calls).
    if changed.mem == 0 and changed.memsz == 0:
        changed = segment
    return replace(call, segments=_with(call.segments, index, changed))


def _with(segments: tuple[Segment, ...], index: int, segment: Segment) -> tuple[Segment, ...]:
    return (*segments[:index], segment, *segments[index + 1 :])


def _affordable(room: Room, segment: Segment) -> Segment:
    """Many pages are either too many, or cost time: then they are few. So do buffers: large ones
    are pointed to, not made."""
    few, word = min(_SPAN, room.half // 8), room.word_max
    segment = replace(
        segment, mem=segment.mem & word, memsz=segment.memsz & word, bufsz=segment.bufsz & word
    )
    if few < segment.memsz // PAGE <= room.half:
        segment = replace(segment, memsz=segment.memsz % (few * PAGE))
    if segment.bufsz > _PAGES * PAGE and not segment.content.pointer:
        segment = replace(segment, content=Content(pointer="bad"))
    return segment


def _edge(room: Room, random: Random) -> int:
    """Something around a number that a check compares with."""
    places = (0, room.limit, room.word_max + 1, room.half * PAGE, BASE, *room.conditions.crash)
    step = random.choice((0, 0, 1, -1, PAGE, -PAGE, 2 * PAGE, -2 * PAGE, 1 - PAGE))
    return (random.choice(places) + step) & room.word_max
