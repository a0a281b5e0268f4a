# SPDX-License-Identifier: GPL-2.0-or-later
"""Which frame a ``struct page *`` stands for, by what vmcoreinfo says of the frame table.

FLATMEM: one array, mem_map. SPARSEMEM with and without a virtual memory map: an array a section,
section_mem_map is "array minus first pfn" (mm/sparse.c, sparse_encode_mem_map()). The model reads
the same table (model/memory/frame_table.h).
"""

from __future__ import annotations

from dataclasses import dataclass

import jumpback_memory

from harness.kexec.calls import PAGE

_HAS_MEM_MAP = 1 << 1  # SECTION_HAS_MEM_MAP, include/linux/mmzone.h
_MAP_MASK = ~0x3F


@dataclass(frozen=True)
class _Span:
    array: int  # virtual address of the first struct page
    first: int  # its pfn
    count: int


class PageStructs:
    def __init__(
        self, kernel: jumpback_memory.GuestKernel, word: int, symbols: dict[str, int]
    ) -> None:
        self._kernel = kernel
        self._word = word
        self._info = kernel.vmcoreinfo
        self._size = int(self._info["SIZE(page)"])
        if "SYMBOL(mem_section)" in self._info:
            self._spans = list(self._sections())
        else:
            array = self._read(int(self._info["SYMBOL(mem_map)"], 16))
            self._spans = [_Span(array, 0, self._read(symbols["max_mapnr"]))]

    def frame_of(self, address: int) -> int | None:
        """The pfn; None if no struct page stands at this virtual address."""
        for span in self._spans:
            inside = address - span.array
            if 0 <= inside < span.count * self._size and inside % self._size == 0:
                return span.first + inside // self._size
        return None

    def address_of(self, pfn: int) -> int:
        """Where the struct page of ``pfn`` stands. KeyError: it has none."""
        for span in self._spans:
            if span.first <= pfn < span.first + span.count:
                return span.array + (pfn - span.first) * self._size
        raise KeyError(pfn)

    def member(self, address: int, name: str) -> int:
        """An unsigned long of the struct page at ``address``, by vmcoreinfo's name for it."""
        return self._read(address + int(self._info[f"OFFSET(page.{name})"]))

    def lru(self) -> int:
        """Offset of the list_head that strings pages together."""
        return int(self._info["OFFSET(page.lru)"])

    def _read(self, address: int) -> int:
        return int.from_bytes(self._kernel.read_virtual(address, self._word), "little")

    def _sections(self) -> list[_Span]:
        info = self._info
        table = int(info["SYMBOL(mem_section)"], 16)
        size, length = int(info["SIZE(mem_section)"]), int(info["LENGTH(mem_section)"])
        bits = int(info["NUMBER(SECTION_SIZE_BITS)"])
        sections = 1 << (int(info["NUMBER(MAX_PHYSMEM_BITS)"]) - bits)
        pfns = (1 << bits) // PAGE
        spans = []
        # CONFIG_SPARSEMEM_EXTREME: an array of pointers to pages full of sections.
        extreme = length != sections
        for root in range(length):
            start = self._read(table + root * self._word) if extreme else table + root * size
            for index in range(PAGE // size if extreme and start else int(not extreme)):
                encoded = self._read(start + index * size)
                if encoded & _HAS_MEM_MAP:
                    first = (root * (PAGE // size) + index if extreme else root) * pfns
                    spans.append(_Span((encoded & _MAP_MASK) + first * self._size, first, pfns))
        return spans
