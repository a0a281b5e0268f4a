# SPDX-License-Identifier: GPL-2.0-or-later
"""What kexec_load promises: its checks, page lists, staged loading. docs/kexec-model.md.

Addresses and sizes are bytes, pfns count frames of 4096 bytes. ``release``: "6.1" or "6.1.192-…";
``arch``: "x86_64" or "i386". A segment is (bufsz, mem, memsz). ``setup`` and ``conditions`` may
leave keys out; the results are dicts (the TypedDicts here are for type checkers only).
"""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from _typeshed import ReadableBuffer as Buffer

Segment = tuple[int, int, int]

class KimageError(ValueError):
    """Input makes no sense: ``where`` names the place, ``what`` what was found and expected."""

    where: str
    what: str

class Verdict(TypedDict):
    """What a call returns, and why."""

    result: int
    """0 or a negative errno; positive for one bug of the compat call."""
    errno: str
    """"EINVAL"; "" for success."""
    check: str
    """"overlap"; "none" for success."""
    function: str
    """The kernel's, that makes this check: "sanity_check_segment_list()"."""
    text: str
    segment: int | None
    """The guilty one."""
    other: int | None
    """The earlier one that it overlaps."""
    unloads: bool
    uses_load_limit: bool
    """One of kexec_load_limit_* is spent."""
    note: str
    """Not empty if another version's rules stand in."""

def check_load(
    release: str,
    arch: str,
    setup: Mapping[str, object],
    conditions: Mapping[str, object],
    entry: int,
    flags: int,
    segments: Sequence[Segment],
    compat: bool = ...,
) -> Verdict:
    """The checks of a whole call in the kernel's order.

    ``setup``: kexec_jump, crash_dump, five_level (bool), page_offset (int, i386), fixed (list of
    str: pages of docs/findings whose defect the kernel's patches mend). ``conditions``: may_load, locked_down, segments_readable, locked (bool), totalram_pages, security_error (errno),
    load_limit (None: unlimited), crash (first and last byte), unreadable_buffer (number of the
    first segment whose buffer faults). Enough free memory is taken for granted.
    """

class Built(TypedDict):
    """An image as struct kimage has it. With an error, as far as it got."""

    error: int
    """0 or ENOMEM (positive)."""
    text: str
    used: int
    """Allocations of the trace that were taken."""
    misfit: int | None
    """The allocation of another order than was asked for: the trace is of another load."""
    frames: int
    moved: int
    """Entries whose source was given up for their own destination."""
    steps: int
    """Entries and parked pages looked at: the cost of finding destinations."""
    head: int
    list_pages: list[tuple[int, list[int]]]
    """gpa, and the words up to the link or DONE."""
    moves: list[tuple[int, int]]
    """(destination, source), gpa."""
    control_code: int | None
    control_order: int
    swap: int | None
    page_tables: list[int]
    dest_pages: list[int]
    unusable_pages: list[int]

def build(
    release: str,
    arch: str,
    setup: Mapping[str, object],
    segments: Sequence[Segment],
    trace: Sequence[tuple[int, int]],
    lowmem_end: int = ...,
    tables: int = ...,
    lookup: str = ...,
    swap_page: bool = ...,
) -> Built:
    """The list that a kernel builds when its allocator gives ``trace``: (first pfn, order) each.

    ``lowmem_end``: pfn; frames from there on are high memory. ``tables``: how many control pages
    machine_kexec_prepare() takes. ``lookup``: "hashed" or "linear" (as kernels do), same result.
    KimageError for segments that a kernel refuses.
    """

def choose_control(
    release: str,
    arch: str,
    setup: Mapping[str, object],
    segments: Sequence[Segment],
    pfns: Sequence[int],
    order: int = ...,
) -> tuple[int | None, list[int]]:
    """Of blocks of 2^order frames, offered in turn: which is taken as control page (first pfn), and
    which were held back before it and are freed."""

def versions() -> list[tuple[str, str]]:
    """Version and architecture of each row of rules."""

class Decoded(TypedDict):
    """A list; if ``kind`` is there, what came before the bad word."""

    moves: list[tuple[int, int]]
    """(destination, source), gpa, in order of execution."""
    move_count: int
    list_pages: list[int]
    words: int
    lone: int
    """DESTINATION words without a SOURCE."""
    kind: NotRequired[str]
    message: NotRequired[str]
    """Names the place too."""
    list_page: NotRequired[int | None]
    """gpa; None: the head itself, or no single word."""
    index: NotRequired[int]
    raw: NotRequired[int]

def decode(
    buffer: Buffer,
    regions: Sequence[tuple[int, int, int]],
    head: int,
    arch: str,
    kept: Sequence[tuple[int, str]] = ...,
    *,
    strict_words: bool = ...,
    kernel_layout: bool = ...,
    source_limit: int | None = ...,
    keep_moves: bool = ...,
) -> Decoded:
    """Reads a page list out of guest RAM. ``regions``: (gpa, offset in buffer, length); none: all
    of it at 0. ``kept``: (gpa, name) of frames that must be neither destination, source nor list
    page. A malformed list is no exception: ``kind`` and ``message`` say what and where. Off by
    ``strict_words``: words as the assembly reads them; by ``kernel_layout``: links anywhere.
    """
