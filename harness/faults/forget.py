# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that forgets to save a page: its bit in forbidden_pages_map is set by us.

Layouts of kernel/power/snapshot.c (struct memory_bitmap, mem_zone_bm_rtree, rtree_node), in words;
the same since 3.17 (commit f469f02dc6fa).
"""

from __future__ import annotations

from harness.errors import InfraError
from harness.faults.guest import spare_page
from harness.hibernation.site import TamperSite
from harness.oracles.snapshot_stop import WORD

PAGE = 4096
BITS_PER_LEAF = PAGE * 8
# mem_zone_bm_rtree: list, nodes, leaves (two words each), start_pfn, end_pfn
_LEAVES, _START_PFN, _END_PFN = 4, 6, 7
_NODE_DATA = 2  # rtree_node: list, data


def forget_page(site: TamperSite) -> None:
    """At swsusp_arch_suspend(): the planted page is "forbidden" from now on."""
    pfn = spare_page(site) // PAGE
    word = WORD[site.symbols.arch]

    def read(address: int) -> int:
        return int.from_bytes(site.life.read_virtual(address, word), "little")

    bitmap = read(site.symbols.address("forbidden_pages_map"))
    zone = read(bitmap)  # memory_bitmap.zones, the list's head, comes first
    while zone != bitmap:
        start, end = read(zone + _START_PFN * word), read(zone + _END_PFN * word)
        if start <= pfn < end:
            node = read(zone + _LEAVES * word)
            for _ in range((pfn - start) // BITS_PER_LEAF):
                node = read(node)
            bit = (pfn - start) % BITS_PER_LEAF
            address = read(node + _NODE_DATA * word) + bit // 8
            byte = site.life.read_virtual(address, 1)[0]
            site.life.write_virtual(address, bytes([byte | 1 << bit % 8]))
            site.done.append(f"set pfn {pfn:#x} in forbidden_pages_map")
            return
        zone = read(zone)
    raise InfraError(f"forbidden_pages_map has no zone with pfn {pfn:#x}")
