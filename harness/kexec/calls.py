# SPDX-License-Identifier: GPL-2.0-or-later
"""kexec_load calls as the guest's loader takes them (fixtures/kexec/loader, its --help).

Addresses are guest physical, sizes bytes. What the kernel says of a call is up to the model
(harness/kexec/model.py); here nothing is judged.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

PAGE = 4096

# include/uapi/linux/kexec.h
ON_CRASH = 0x1
PRESERVE_CONTEXT = 0x2
UPDATE_ELFCOREHDR = 0x4  # 6.5 and later
CRASH_HOTPLUG_SUPPORT = 0x8  # 6.10 and later
ARCH_SHIFT = 16
SEGMENT_MAX = 16
# The ELF machine numbers that kexec_load takes for an architecture.
ARCH_NUMBER = {"x86_64": 62, "i386": 3}

_GOLDEN, _STEP, _MASK = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, (1 << 64) - 1

UNREADABLE = ("null", "bad", "kernel")


def pattern(seed: int, offset: int, length: int) -> bytes:
    """``length`` bytes at ``offset`` (a multiple of 8) of the loader's pattern (content.h)."""
    first = offset // 8
    count = (length + 7) // 8
    start = (seed * _GOLDEN + first) * _STEP
    words = array("Q", [(start + i * _STEP) & _MASK for i in range(count)])
    return words.tobytes()[:length]


@dataclass(frozen=True)
class Content:
    """What a segment's buffer pointer points to: a pattern, bytes, or one of ``UNREADABLE``."""

    seed: int = 0
    readable: int | None = None  # bytes of the pattern that can be read, whole pages; None: all
    pointer: str = ""  # one of UNREADABLE; "": the pattern or the bytes
    data: bytes | None = None  # these, and zeros behind them, instead of the pattern
    path: str = ""  # of the guest's file that has ``data`` at ``offset``; "": the call has it
    offset: int = 0

    @property
    def text(self) -> str:
        if self.pointer:
            return self.pointer
        if self.path:
            return f"f{self.path}" + (f"@{self.offset:#x}" if self.offset else "")
        if self.data is not None:
            return f"x{self.data.hex()}"
        return f"p{self.seed}" + ("" if self.readable is None else f"@{self.readable:#x}")

    def faults(self, length: int) -> bool:
        """Whether reading the first ``length`` bytes faults."""
        if length == 0:
            return False
        return bool(self.pointer) or (self.readable is not None and length > self.readable)

    def bytes_at(self, offset: int, length: int) -> bytes:
        """``offset``: a multiple of 8."""
        if self.data is None:
            return pattern(self.seed, offset, length)
        return self.data[offset : offset + length].ljust(length, b"\0")


@dataclass(frozen=True)
class Segment:
    mem: int
    memsz: int
    bufsz: int
    content: Content = Content()

    @property
    def text(self) -> str:
        return f"{self.mem:#x}:{self.memsz:#x}:{self.bufsz:#x}:{self.content.text}"

    @property
    def pages(self) -> int:
        return self.memsz // PAGE

    def page(self, index: int) -> bytes:
        """What page ``index`` holds once it is loaded: the buffer, and zeros behind it."""
        start = index * PAGE
        there = max(0, min(PAGE, self.bufsz - start))
        return self.content.bytes_at(start, there).ljust(PAGE, b"\0")


@dataclass(frozen=True)
class Call:
    """One call. ``name``: what it is for, in findings."""

    name: str
    segments: tuple[Segment, ...] = ()
    flags: int = 0
    entry: int = 0
    nr: int | None = None  # number of segments handed to the kernel; None: as many as there are
    array: str = ""  # what the pointer to them is: null, bad, kernel, cut@N; "": right
    unload: bool = False

    @property
    def text(self) -> str:
        """The loader's argument. Commas, because a blank costs three bytes on the way."""
        words = ["unload" if self.unload else "load"]
        if self.flags:
            words.append(f"flags={self.flags:#x}")
        if self.entry:
            words.append(f"entry={self.entry:#x}")
        if self.nr is not None:
            words.append(f"nr={self.nr}")
        if self.array:
            words.append(f"array={self.array}")
        words += [f"seg={segment.text}" for segment in self.segments]
        return ",".join(words)

    @property
    def number(self) -> int:
        """nr_segments as the kernel sees it."""
        return len(self.segments) if self.nr is None else self.nr

    @property
    def handed(self) -> tuple[Segment, ...]:
        """The segments that the kernel reads if it reads all: the loader's array ends in zeros."""
        if self.number > 4 * SEGMENT_MAX:
            return self.segments
        more = self.number - len(self.segments)
        return self.segments[: self.number] + (Segment(0, 0, 0, _NONE),) * more

    @property
    def array_readable(self) -> bool:
        if self.array.startswith("cut@"):
            return self.number <= int(self.array[4:])
        return self.array == "" and not self.unload

    @property
    def first_faulting(self) -> int | None:
        """The first segment of whose buffer not all bytes can be read."""
        for index, segment in enumerate(self.handed):
            if segment.content.faults(segment.bufsz):
                return index
        return None

    def named(self, name: str) -> Call:
        return replace(self, name=name)


_NONE = Content(pointer="null")
