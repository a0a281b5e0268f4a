# SPDX-License-Identifier: GPL-2.0-or-later
"""How kexec-load reads a kernel from outside: its frame table, struct kimage, and where it calls
the allocator; on memory that is written here.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import cast

import jumpback_memory
import pytest

from harness.kexec.allocation_trace import ALLOCATOR, CannotTrace, find_call_sites
from harness.kexec.calls import PAGE, Call, Segment
from harness.kexec.guest_view import WORD, GuestView
from harness.kexec.kimage_struct import BadKimage, ControlBlock, read_kimage
from harness.kexec.page_structs import PageStructs

pytestmark = pytest.mark.timeout(20)

_SIZE = {8: 64, 4: 40}  # of struct page, as kernels have it
_ARRAY, _IMAGE = 0x100000, 0x10000  # virtual addresses here: offsets into the memory


class Memory:
    """Virtual memory from 0 on: as much of GuestKernel as is read here."""

    def __init__(self, word: int, info: dict[str, str], size: int = 4 << 20) -> None:
        self.word = word
        self.vmcoreinfo = info
        self.bytes = bytearray(size)

    def read_virtual(self, gva: int, length: int) -> bytes:
        if gva + length > len(self.bytes):
            raise jumpback_memory.MemoryModelError(f"{gva:#x} is not mapped")
        return bytes(self.bytes[gva : gva + length])

    def translate(self, gva: int) -> tuple[int, int]:
        return gva, PAGE

    def put(self, gva: int, *words: int) -> None:
        for index, value in enumerate(words):
            at = gva + index * self.word
            self.bytes[at : at + self.word] = value.to_bytes(self.word, "little")


def _info(word: int) -> dict[str, str]:
    return {
        "SIZE(page)": str(_SIZE[word]),
        "OFFSET(page.lru)": str(word),
        "OFFSET(page.private)": str(5 * word),
    }


def _flat(arch: str) -> tuple[Memory, PageStructs]:
    word = WORD[arch]
    memory = Memory(word, {**_info(word), "SYMBOL(mem_map)": "2000"})
    memory.put(0x2000, _ARRAY)
    memory.put(0x3000, 0x8000)
    kernel = cast(jumpback_memory.GuestKernel, memory)
    return memory, PageStructs(kernel, word, {"max_mapnr": 0x3000})


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_flat_frame_table(arch: str) -> None:
    _, pages = _flat(arch)
    size = _SIZE[WORD[arch]]
    assert pages.address_of(0) == _ARRAY and pages.address_of(0x7FFF) == _ARRAY + 0x7FFF * size
    assert pages.frame_of(_ARRAY + 17 * size) == 17
    assert pages.frame_of(_ARRAY + 17 * size + 8) is None  # inside of a struct page
    assert pages.frame_of(_ARRAY - size) is None
    assert pages.frame_of(_ARRAY + 0x8000 * size) is None
    with pytest.raises(KeyError):
        pages.address_of(0x8000)


@pytest.mark.parametrize("extreme", [True, False])
def test_sparse_frame_table(extreme: bool) -> None:
    """128 MiB a section; sections 0 and 3 have memory, 1 and 2 do not."""
    section_size, pfns = 32, (1 << 27) // PAGE
    sections = 1 << 5
    info = {
        **_info(8),
        "SYMBOL(mem_section)": "4000",
        "SIZE(mem_section)": str(section_size),
        "LENGTH(mem_section)": str(4 if extreme else sections),
        "NUMBER(SECTION_SIZE_BITS)": "27",
        "NUMBER(MAX_PHYSMEM_BITS)": "32",
    }
    memory = Memory(8, info)
    table = 0x4000
    if extreme:
        memory.put(0x4000, 0x6000, 0, 0, 0)
        table = 0x6000
    for number, array in ((0, 0x40000000), (3, 0x80000000)):
        # Encoded as sparse_encode_mem_map() does, the array less what comes before it; with the
        # flags "marked present" and "has a map". Section 1 is present and has none.
        memory.put(table + number * section_size, (array - number * pfns * 64) & ~0x3F | 0x3)
    memory.put(table + section_size, 0x1)
    pages = PageStructs(cast(jumpback_memory.GuestKernel, memory), 8, {})
    assert pages.frame_of(0x40000000 + 5 * 64) == 5
    assert pages.frame_of(0x80000000 + 5 * 64) == 3 * pfns + 5
    assert pages.address_of(3 * pfns) == 0x80000000
    assert pages.frame_of(0x40000000 + pfns * 64) is None
    for pfn in (pfns, 2 * pfns, 4 * pfns):
        with pytest.raises(KeyError):
            pages.address_of(pfn)


CALL = Call("two", (Segment(0x1000000, 2 * PAGE, 5), Segment(0x2000000, 0, 0)), 2, 0x1000040)


class Image:
    """A struct kimage of ``CALL`` in memory. ``gap``: words between segments and list heads."""

    def __init__(self, arch: str, gap: int) -> None:
        self.memory, self.pages = _flat(arch)
        self.word = WORD[arch]
        self.blocks = [(0x40, 1), (0x50, 0), (0x61, 0), (0x62, 0)]  # pfn, order
        for pfn, order in self.blocks:
            self.memory.put(self.pages.address_of(pfn) + 5 * self.word, order)
        code, swap = (self.pages.address_of(pfn) for pfn, _ in self.blocks[:2])
        self.memory.put(_IMAGE, 0x370002, 0, 0, CALL.entry, code, swap, 0, CALL.number)
        for index, segment in enumerate(CALL.segments):
            at = _IMAGE + (8 + 4 * index) * self.word
            self.memory.put(at, 0xDEAD, segment.bufsz, segment.mem, segment.memsz)
        self.head = _IMAGE + (8 + 16 * 4 + gap) * self.word
        self.link([pfn for pfn, _ in self.blocks])

    def link(self, pfns: list[int]) -> None:
        """As list_add() leaves them: the newest first."""
        lru = [self.pages.address_of(pfn) + self.word for pfn in reversed(pfns)]
        ring = [self.head, *lru]
        for index, at in enumerate(ring):
            self.memory.put(at, ring[(index + 1) % len(ring)], ring[index - 1])

    def view(self) -> GuestView:
        def number(address: int, size: int = 0) -> int:
            data = self.memory.read_virtual(address, size or self.word)
            return int.from_bytes(data, "little")

        def words(address: int, count: int) -> list[int]:
            return [number(address + index * self.word) for index in range(count)]

        fake = SimpleNamespace(
            word=self.word, pages=self.pages, kernel=self.memory, number=number, words=words
        )
        return cast(GuestView, fake)


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
@pytest.mark.parametrize("gap", [0, 3, 16])
def test_struct_kimage_is_read(arch: str, gap: int) -> None:
    image = read_kimage(Image(arch, gap).view(), _IMAGE, CALL)
    assert (image.head, image.start) == (0x370002, CALL.entry)
    assert image.control_code == ControlBlock(0x40, 1) and image.swap == ControlBlock(0x50, 0)
    assert [block.first for block in image.control] == [0x40, 0x50, 0x61, 0x62]
    assert image.kept == [
        (0x40000, "control code page"),
        (0x41000, "control code page"),
        (0x50000, "swap page"),
        (0x61000, "page table"),
        (0x62000, "page table"),
    ]


def test_another_image_is_refused() -> None:
    view = Image("x86_64", 0).view()
    first, second = CALL.segments
    others = {
        "start": replace(CALL, entry=1),
        "nr_segments": replace(CALL, segments=(first,)),
        "segment[0].bufsz": replace(CALL, segments=(replace(first, bufsz=6), second)),
        "segment[1].mem": replace(CALL, segments=(first, replace(second, mem=PAGE))),
        "segment[0].memsz": replace(CALL, segments=(replace(first, memsz=PAGE), second)),
    }
    for name, call in others.items():
        with pytest.raises(BadKimage, match=name.replace("[", r"\[").replace("]", r"\]")):
            read_kimage(view, _IMAGE, call)


def test_no_image_and_one_that_leads_nowhere_are_refused() -> None:
    view = Image("x86_64", 0).view()
    with pytest.raises(BadKimage, match="kexec_image is empty"):
        read_kimage(view, 0, CALL)
    with pytest.raises(BadKimage, match="leads out of memory"):
        read_kimage(view, 1 << 40, CALL)


def test_broken_control_pages_are_refused() -> None:
    no_list = Image("x86_64", 0)
    no_list.memory.put(no_list.head, 0, 0)
    with pytest.raises(BadKimage, match="no list head"):
        read_kimage(no_list.view(), _IMAGE, CALL)

    endless = Image("x86_64", 0)
    loop = endless.pages.address_of(0x61) + 8
    endless.memory.put(loop, loop)
    with pytest.raises(BadKimage, match="has no end"):
        read_kimage(endless.view(), _IMAGE, CALL)

    other = Image("x86_64", 0)
    other.link([0x50, 0x40])
    with pytest.raises(BadKimage, match="is not control_code_page"):
        read_kimage(other.view(), _IMAGE, CALL)

    stranger = Image("x86_64", 0)
    stranger.memory.put(_IMAGE + 5 * 8, 0x123)
    with pytest.raises(BadKimage, match="swap_page is 0x123"):
        read_kimage(stranger.view(), _IMAGE, CALL)

    order = Image("x86_64", 0)
    order.memory.put(order.pages.address_of(0x40) + 5 * 8, 12)
    with pytest.raises(BadKimage, match="order 12"):
        read_kimage(order.view(), _IMAGE, CALL)


def _text(functions: dict[str, tuple[int, int]], calls: list[int], target: int) -> GuestView:
    """``functions``: address and size of each; ``calls``: where CALL instructions stand."""
    seed = 5
    memory = Memory(8, {}, 1 << 16)
    noise = Random(seed)
    # No byte that could be taken for a CALL but those put there.
    memory.bytes[:] = bytes(noise.choice(range(0xE8)) for _ in range(len(memory.bytes)))
    for at in calls:
        memory.bytes[at : at + 5] = b"\xe8" + struct.pack("<i", target - at - 5)
    symbols = SimpleNamespace(
        path="vmlinux",
        addresses=lambda: {name: address for name, (address, _) in functions.items()},
        all=lambda name: [functions[name]] if name in functions else [],
    )
    return cast(GuestView, SimpleNamespace(symbols=symbols, kernel=memory, word=8))


def test_calls_of_the_allocator_are_found_in_the_text() -> None:
    functions = {
        ALLOCATOR: (0x1000, 0x80),
        "kimage_alloc_page": (0x2000, 0x100),
        "kimage_alloc_control_pages": (0x3000, 0x100),
        "do_fork": (0x4000, 0x100),
    }
    calls = [0x2010, 0x20FB, 0x3001, 0x4010]  # the last is nobody of kexec
    view = _text(functions, calls, 0x1000)
    sites = {(site.returns_to, site.caller) for site in find_call_sites(view)}
    assert sites == {
        (0x2015, "kimage_alloc_page"),
        (0x2100, "kimage_alloc_page"),
        (0x3006, "kimage_alloc_control_pages"),
    }


def test_kernels_whose_allocator_is_nowhere_are_skipped_with_the_reason() -> None:
    with pytest.raises(CannotTrace, match="no kimage_alloc_pages"):
        find_call_sites(_text({"kimage_alloc_page": (0x2000, 0x100)}, [], 0x1000))
    functions = {ALLOCATOR: (0x1000, 0x80), "kimage_alloc_page": (0x2000, 0x100)}
    with pytest.raises(CannotTrace, match="nobody calls"):
        find_call_sites(_text(functions, [], 0x1000))
