# SPDX-License-Identifier: GPL-2.0-or-later
"""kexec_load calls made by hand: each check at its edge, on both sides.

What the answers must be is not written here: the model says it.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.kexec.calls import (
    ARCH_NUMBER,
    ARCH_SHIFT,
    CRASH_HOTPLUG_SUPPORT,
    ON_CRASH,
    PAGE,
    PRESERVE_CONTEXT,
    SEGMENT_MAX,
    UPDATE_ELFCOREHDR,
    Call,
    Content,
    Segment,
)
from harness.kexec.guest_view import Conditions

BASE = 0x1000000  # any address of RAM: a load writes to no destination
CRASH_BASE = 0x8000000
LARGE = 1 << 16  # pages: a load of so many takes too long to be one case of many


@dataclass(frozen=True)
class Room:
    """The numbers that calls of one kernel are built from."""

    arch: str
    conditions: Conditions

    @property
    def word_max(self) -> int:
        return (1 << (64 if self.arch == "x86_64" else 32)) - 1

    @property
    def limit(self) -> int:
        """The highest page-aligned end that a segment may have (KEXEC_DESTINATION_MEMORY_LIMIT)."""
        if self.arch == "i386":
            return (1 << 32) - PAGE
        return (1 << (52 if self.conditions.five_level else 46)) - PAGE

    @property
    def half(self) -> int:
        """Pages: what one load may have."""
        return self.conditions.totalram_pages // 2

    @property
    def away(self) -> int:
        """Where nothing but devices is: destinations there collide with no frame."""
        return 0xE0000000 if self.arch == "i386" else 1 << 40

    @property
    def has_crash_region(self) -> bool:
        return self.conditions.crash[1] > 0


def seg(mem: int, memsz: int, bufsz: int | None = None, content: Content | None = None) -> Segment:
    """By default one whose buffer is as large, but no larger than a page."""
    length = min(memsz, PAGE) if bufsz is None else bufsz
    return Segment(mem, memsz, length, content or Content(mem % 251))


BAD = Content(pointer="bad")
GOOD = (seg(BASE, 2 * PAGE),)


def edge_calls(room: Room) -> list[Call]:
    """Each check at its edge."""
    calls = [*_flag_calls(room), *_count_calls(), *_address_calls(room), *_overlap_calls()]
    calls += [*_buffer_calls(), *_size_calls(room), *_crash_calls(room)]
    return calls


def _flag_calls(room: Room) -> list[Call]:
    native = ARCH_NUMBER[room.arch]
    (other,) = (number for arch, number in ARCH_NUMBER.items() if arch != room.arch)
    flags = {
        "plain": 0,
        "preserve context": PRESERVE_CONTEXT,
        "update elfcorehdr": UPDATE_ELFCOREHDR,
        "crash hotplug": CRASH_HOTPLUG_SUPPORT,
        "both new flags": UPDATE_ELFCOREHDR | CRASH_HOTPLUG_SUPPORT | PRESERVE_CONTEXT,
        "first unknown flag": 0x10,
        "stage field": 0x100,
        "last unknown flag": 0x8000,
        "native architecture": native << ARCH_SHIFT,
        "native architecture, preserve": native << ARCH_SHIFT | PRESERVE_CONTEXT,
        "other architecture": other << ARCH_SHIFT,
        "all architecture bits": 0xFFFF << ARCH_SHIFT,
        "architecture 1": 1 << ARCH_SHIFT,
    }
    if room.arch == "x86_64":
        flags["flag above 32 bits"] = 1 << 40
    return [Call(f"flags: {name}", GOOD, flags=value) for name, value in flags.items()]


def _count_calls() -> list[Call]:
    many = tuple(seg(BASE + 2 * i * PAGE, PAGE) for i in range(SEGMENT_MAX + 1))
    calls = [
        Call("count: 16", many[:SEGMENT_MAX]),
        Call("count: 17", many),
        Call("count: 2^31", GOOD, nr=1 << 31),
        Call("count: 2^32-1, null", nr=(1 << 32) - 1, array="null"),
        Call("count: 0 of 1", GOOD, nr=0),
        Call("count: 0, unknown flag", GOOD, nr=0, flags=0x10),
        Call("count: 0, wrong architecture", nr=0, flags=1 << ARCH_SHIFT),
        Call("count: 1 of 2, the second is wrong", (GOOD[0], seg(1, 1)), nr=1),
        Call("unload with nothing else", unload=True),
        Call("unload twice", unload=True),
        Call("unload, preserve flag", unload=True, flags=PRESERVE_CONTEXT),
        Call("segments: cut behind the last", many[:3], array="cut@3"),
        Call("segments: cut before the last", many[:3], array="cut@2"),
        Call("segments: cut before the first", many[:3], array="cut@0"),
    ]
    for pointer in ("null", "bad", "kernel"):
        calls.append(Call(f"segments: {pointer}", GOOD, array=pointer))
        calls.append(Call(f"segments: {pointer}, none wanted", GOOD, nr=0, array=pointer))
    return calls


def _address_calls(room: Room) -> list[Call]:
    limit, top = room.limit, room.word_max + 1
    one = {
        "odd start": seg(BASE + 1, PAGE),
        "odd size": seg(BASE, PAGE - 1),
        "odd start, even end": seg(BASE + 0x800, 0x800),
        "even start, odd end": seg(BASE, 0x800),
        "one byte": seg(BASE, 1, 1),
        "address 0": seg(0, PAGE),
        "end at the limit": seg(limit - PAGE, PAGE),
        "end past the limit": seg(limit, PAGE),
        "start past the limit": seg(limit + PAGE, PAGE) if room.arch == "x86_64" else seg(limit, 0),
        "empty at the limit": seg(limit, 0),
        "end at 0": seg(top - PAGE, PAGE),
        "wraps": seg(top - PAGE, 2 * PAGE),
        "wraps, odd": seg(top - PAGE + 1, 2 * PAGE),
        "end is the last byte": seg(top - PAGE, PAGE - 1),
        "size of everything": seg(PAGE, top - PAGE, 0),
        "size to the top": seg(BASE, top - BASE - PAGE, 0),
        "empty": seg(BASE, 0),
        "empty, odd": seg(BASE + 1, 0),
    }
    calls = [Call(f"address: {name}", (segment,)) for name, segment in one.items()]
    calls += [Call(f"address: {name}, second", (GOOD[0], segment)) for name, segment in one.items()]
    return calls


def _overlap_calls() -> list[Call]:
    first = seg(BASE, 4 * PAGE)
    second = {
        "the same": seg(BASE, 4 * PAGE),
        "its first page": seg(BASE, PAGE),
        "its last page": seg(BASE + 3 * PAGE, PAGE),
        "its last page and on": seg(BASE + 3 * PAGE, 2 * PAGE),
        "before and its first": seg(BASE - PAGE, 2 * PAGE),
        "all around": seg(BASE - PAGE, 6 * PAGE),
        "touching before": seg(BASE - PAGE, PAGE),
        "touching behind": seg(BASE + 4 * PAGE, PAGE),
        "empty inside": seg(BASE + PAGE, 0),
        "empty at its start": seg(BASE, 0),
        "empty at its end": seg(BASE + 4 * PAGE, 0),
    }
    calls = []
    for name, segment in second.items():
        calls.append(Call(f"overlap: {name}", (first, segment)))
        calls.append(Call(f"overlap: {name}, turned round", (segment, first)))
    empty = seg(BASE, 0)
    calls.append(Call("overlap: two empty ones", (empty, empty)))
    calls.append(Call("overlap: first and third", (first, seg(BASE + 8 * PAGE, PAGE), first)))
    return calls


def _buffer_calls() -> list[Call]:
    two = 2 * PAGE
    one = {
        "none": seg(BASE, two, 0),
        "one byte": seg(BASE, two, 1),
        "all": seg(BASE, two, two),
        "one byte too many": seg(BASE, two, two + 1),
        "much too large": seg(BASE, two, 1 << 31, BAD),
        "for an empty segment": seg(BASE, 0, 1),
        "null, not read": seg(BASE, two, 0, Content(pointer="null")),
        "null": seg(BASE, two, 1, Content(pointer="null")),
        "bad": seg(BASE, two, two, BAD),
        "the kernel's": seg(BASE, two, two, Content(pointer="kernel")),
        "cut behind what is read": seg(BASE, two, PAGE, Content(3, readable=PAGE)),
        "cut in the middle": seg(BASE, two, two, Content(3, readable=PAGE)),
        "cut at once": seg(BASE, two, two, Content(3, readable=0)),
    }
    calls = [Call(f"buffer: {name}", (segment,)) for name, segment in one.items()]
    last = seg(BASE + 9 * PAGE, PAGE, PAGE, BAD)
    calls.append(Call("buffer: bad in the last of three", (GOOD[0], seg(BASE + 8 * PAGE, 0), last)))
    return calls


def _size_calls(room: Room) -> list[Call]:
    half, away = room.half, room.away

    def pages(*counts: int) -> tuple[Segment, ...]:
        segments, at = [], away
        for count in counts:
            segments.append(seg(at, count * PAGE, 1))
            at += count * PAGE
        return tuple(segments)

    shapes = {
        "half and a page": pages(half + 1),
        "half, then a page": pages(half, 1),
        "a page, then half": pages(1, half),
        "two halves and a page": pages(half, half, 1),
        "all of RAM": pages(2 * half),
    }
    if half < LARGE:
        shapes["half"] = pages(half)
        shapes["half in two"] = pages(half - half // 3, half // 3)
    fits = room.limit - away
    calls = []
    for name, segments in shapes.items():
        if sum(segment.memsz for segment in segments) < fits:
            calls.append(Call(f"size: {name}", segments))
            # The old image stays until the new one is there: two halves are more than is free.
            calls.append(Call(f"size: {name}, unload", unload=True))
    if room.arch == "x86_64":
        calls.append(Call("size: almost the address space", (seg(PAGE, room.limit - PAGE, 0),)))
        parts = tuple(seg((i + 1) << 42, 1 << 41, 0) for i in range(8))
        calls.append(Call("size: much in many", parts))
    return calls


def _crash_calls(room: Room) -> list[Call]:
    """With no region reserved crashk_res is [0, 0], and every call must be refused."""
    start, last = room.conditions.crash if room.has_crash_region else (CRASH_BASE, CRASH_BASE)
    end = last + 1 if room.has_crash_region else CRASH_BASE + 16 * PAGE
    inside = (seg(start, 2 * PAGE),)

    def call(name: str, segments: tuple[Segment, ...], entry: int, flags: int = 0) -> Call:
        return Call(f"crash: {name}", segments, flags=ON_CRASH | flags, entry=entry)

    calls = [
        call("inside", inside, start),
        call("entry is the last byte", inside, end - 1),
        call("entry before", inside, start - 1),
        call("entry behind", inside, end),
        call("entry 0", inside, 0),
        call("entry 0, page 0", (seg(0, PAGE),), 0),
        call("the last page", (seg(end - PAGE, PAGE),), start),
        call("a page behind", (seg(end, PAGE),), start),
        call("over the end", (seg(end - PAGE, 2 * PAGE),), start),
        call("over the start", (seg(start - PAGE, 2 * PAGE),), start),
        call("a page before", (seg(start - PAGE, PAGE),), start),
        call("outside", GOOD, start),
        call("second outside", (*inside, GOOD[0]), start),
        call("empty at the start", (seg(start, 0),), start),
        call("empty at the end", (seg(end, 0),), start),
        call("empty behind the end", (seg(end + PAGE, 0),), start),
        call("with preserve", inside, start, PRESERVE_CONTEXT),
        call("with crash hotplug", inside, start, CRASH_HOTPLUG_SUPPORT),
        Call("crash: unreadable, outside", inside, flags=ON_CRASH, entry=end, array="bad"),
        Call("crash: unload", unload=True, flags=ON_CRASH),
        Call("crash: unload again", unload=True, flags=ON_CRASH),
    ]
    return calls


def helper_calls() -> list[Call]:
    """The one all-zero segment that `kexec --load-jump-back-helper` hands over. Where the end of a
    destination range is inclusive it covers all memory, and no control page can be had."""
    nothing = Segment(0, 0, 0, Content(pointer="null"))
    return [
        Call("the segment of kexec --load-jump-back-helper", (nothing,), PRESERVE_CONTEXT, BASE),
        Call("helper: behind another segment", (*GOOD, nothing), PRESERVE_CONTEXT, BASE),
        Call("unload", unload=True),
    ]


def few_calls(room: Room) -> list[Call]:
    """One for each kind of answer, to be made again when the kernel is in another state."""
    return [
        Call("right", GOOD),
        Call("wrong flag", GOOD, flags=0x10),
        Call("17 segments", GOOD, nr=SEGMENT_MAX + 1),
        Call("wrong architecture", GOOD, flags=1 << ARCH_SHIFT),
        Call("segments unreadable", GOOD, array="bad"),
        Call("crash entry outside", GOOD, flags=ON_CRASH, entry=room.word_max),
        Call("misaligned", (seg(BASE + 1, PAGE),)),
        Call("unload", unload=True),
        Call("unload the crash image", unload=True, flags=ON_CRASH),
        Call("right again", GOOD),
    ]
