# SPDX-License-Identifier: GPL-2.0-or-later
"""``struct kimage`` of the running kernel, read from outside and held against the call behind it.

Its first words are the same in every kernel from 2.6.28 to 7.3 (include/linux/kexec.h), and only
these are taken on trust, for what stands there is checked against the call:

    head, entry*, last_entry*, start, control_code_page*, swap_page*, vmcoreinfo_data_copy*,
    nr_segments, segment[16] of {buf*, bufsz, mem, memsz}

Behind them come list heads; 6.16 put an array of pointers before them (segment_cma). A list head is
found by its neighbours pointing back at it.
"""

from __future__ import annotations

from dataclasses import dataclass

import jumpback_memory

from harness.kexec.calls import PAGE, SEGMENT_MAX, Call
from harness.kexec.guest_view import GuestView

_HEAD, _START, _CONTROL, _SWAP, _NR, _SEGMENTS = 0, 3, 4, 5, 7, 8
_SEGMENT_WORDS = 4  # buf, bufsz, mem, memsz
_LISTS = _SEGMENTS + SEGMENT_MAX * _SEGMENT_WORDS
_FARTHEST = SEGMENT_MAX  # words between the segments and the list heads, at most
_CONTROL_LIMIT = 4096  # control pages that are read before the list counts as endless


class BadKimage(Exception):
    """What is behind kexec_image is not the image of the call; ``str()`` says where."""


@dataclass(frozen=True)
class ControlBlock:
    """An allocation of kimage_alloc_control_pages(): 2^order frames."""

    first: int  # pfn
    order: int

    @property
    def frames(self) -> range:
        return range(self.first, self.first + (1 << self.order))


@dataclass(frozen=True)
class Kimage:
    address: int  # virtual
    gpa: int
    head: int
    start: int
    control_code: ControlBlock
    swap: ControlBlock | None  # none: a crash image
    control: tuple[ControlBlock, ...]  # all of them, as they were allocated

    @property
    def kept(self) -> list[tuple[int, str]]:
        """Frames (gpa) that must stay themselves while pages are moved, each with its name."""
        named = {pfn: "control code page" for pfn in self.control_code.frames}
        if self.swap is not None:
            named.update((pfn, "swap page") for pfn in self.swap.frames)
        for block in self.control:
            for pfn in block.frames:
                named.setdefault(pfn, "page table")
        return [(pfn * PAGE, name) for pfn, name in sorted(named.items())]


def installed(view: GuestView, crash: bool = False) -> int:
    """The address of the image that a jump (or a panic) would take; 0: none."""
    return view.variable("kexec_crash_image" if crash else "kexec_image")


def read_kimage(view: GuestView, address: int, call: Call) -> Kimage:
    """Raises BadKimage if it is not the image that ``call`` makes."""
    if address == 0:
        raise BadKimage(f"kexec_image is empty, though the call {call.name!r} returned success")
    try:
        return _read(view, address, call)
    except jumpback_memory.MemoryModelError as error:
        raise BadKimage(f"struct kimage at {address:#x} leads out of memory: {error}") from error


def _read(view: GuestView, address: int, call: Call) -> Kimage:
    words = view.words(address, _LISTS)
    found = {"start": words[_START], "nr_segments": words[_NR]}
    wanted = {"start": call.entry, "nr_segments": call.number}
    for index, segment in enumerate(call.handed):
        at = _SEGMENTS + index * _SEGMENT_WORDS
        name = f"segment[{index}]"
        for offset, (member, value) in enumerate(
            (("bufsz", segment.bufsz), ("mem", segment.mem), ("memsz", segment.memsz)), 1
        ):
            wanted[f"{name}.{member}"] = value
            found[f"{name}.{member}"] = words[at + offset]
    for name, value in wanted.items():
        if found[name] != value:
            raise BadKimage(
                f"struct kimage at {address:#x}: {name} is {found[name]:#x}, "
                f"the call {call.name!r} gave {value:#x}"
            )
    return _take(view, address, words)


def read_as_is(view: GuestView, address: int) -> Kimage:
    """The image that stands there, whatever call has made it. Raises BadKimage if it cannot be one:
    see _sane()."""
    if address == 0:
        raise BadKimage("kexec_image is empty: no image is loaded")
    try:
        words = view.words(address, _LISTS)
        _sane(address, words)
        return _take(view, address, words)
    except jumpback_memory.MemoryModelError as error:
        raise BadKimage(f"struct kimage at {address:#x} leads out of memory: {error}") from error


def _sane(address: int, words: list[int]) -> None:
    """What sanity_check_segment_list() has seen to."""
    number = words[_NR]
    if not 0 < number <= SEGMENT_MAX:
        raise BadKimage(f"struct kimage at {address:#x}: nr_segments is {number}")
    for index in range(number):
        at = _SEGMENTS + index * _SEGMENT_WORDS
        bufsz, mem, memsz = words[at + 1 : at + _SEGMENT_WORDS]
        if mem % PAGE or memsz % PAGE or bufsz > memsz:
            raise BadKimage(
                f"struct kimage at {address:#x}: segment[{index}] is of {bufsz:#x} bytes "
                f"for {memsz:#x} at {mem:#x}"
            )


def _take(view: GuestView, address: int, words: list[int]) -> Kimage:
    control_code = _block(view, words[_CONTROL], "control_code_page")
    swap = _block(view, words[_SWAP], "swap_page") if words[_SWAP] else None
    return Kimage(
        address=address,
        gpa=view.kernel.translate(address)[0],
        head=words[_HEAD],
        start=words[_START],
        control_code=control_code,
        swap=swap,
        control=tuple(_control_pages(view, address, control_code)),
    )


def _block(view: GuestView, page: int, name: str) -> ControlBlock:
    pfn = view.pages.frame_of(page)
    if pfn is None:
        raise BadKimage(f"struct kimage: {name} is {page:#x}, no struct page of this kernel")
    # kimage_alloc_pages() keeps the order there.
    order = view.pages.member(page, "private")
    if order > 11:
        raise BadKimage(f"struct kimage: {name}, pfn {pfn:#x}, says it is of order {order}")
    return ControlBlock(pfn, order)


def _control_pages(view: GuestView, address: int, first: ControlBlock) -> list[ControlBlock]:
    """Walks image->control_pages; list_add() has put the newest first."""
    head = _control_list(view, address)
    lru = view.pages.lru()
    blocks: list[ControlBlock] = []
    at = view.number(head)
    while at != head:
        if len(blocks) == _CONTROL_LIMIT:
            raise BadKimage(f"struct kimage at {address:#x}: control_pages has no end")
        blocks.append(_block(view, at - lru, "an entry of control_pages"))
        at = view.number(at)
    blocks.reverse()
    if not blocks or blocks[0] != first:
        raise BadKimage(
            f"struct kimage at {address:#x}: the first control page is not control_code_page"
        )
    return blocks


def _control_list(view: GuestView, address: int) -> int:
    """The first list head behind the segments."""
    for word in range(_LISTS, _LISTS + _FARTHEST + 1):
        head = address + word * view.word
        following, before = view.words(head, 2)
        try:
            if view.number(following + view.word) == head == view.number(before):
                return head
        except jumpback_memory.MemoryModelError:
            continue  # no pointer
    raise BadKimage(f"struct kimage at {address:#x}: no list head behind its segments")
