// SPDX-License-Identifier: GPL-2.0-or-later
//
// struct memory_bitmap of kernel/power/snapshot.c, read from captured memory: a list of zones, each
// with a radix tree whose leaves are pages of bits. The layout is stable and stands
// here without debug information (w = word size; checked in 6.1 and 6.12):
//   memory_bitmap      zones@0 (list_head), p_list@2w, cur@3w
//   mem_zone_bm_rtree  list@0, nodes@2w, leaves@4w, start_pfn@6w, end_pfn@7w, rtree@8w, levels@9w,
//   blocks@9w+4 rtree_node         list@0, data@2w linked_page        next@0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/memory/kernel_memory.h"
#include "model/result.h"

namespace jumpback::memory {

// Frames [start, end) that one tree covers; bits beyond are not used.
struct BitmapExtent {
    Pfn start;
    Pfn end;
};

struct MemoryBitmap {
    std::vector<BitmapExtent> extents;  // in the list's order
    std::vector<std::uint64_t> pfns;    // set bits, in the order of memory_bm_next_pfn()
    std::vector<std::uint64_t>
        own_frames;  // frames of the bitmap itself: leaves, inner nodes, chain pages
    [[nodiscard]] bool covers(Pfn pfn) const;
};

// `address` is that of the struct itself; `name` is for errors. Every list is followed both ways
// (next must agree with prev) and with a bound; every node must be found again through the tree.
Result<MemoryBitmap> read_memory_bitmap(const KernelMemory& memory, Gva address,
                                        std::string_view name);

}  // namespace jumpback::memory
