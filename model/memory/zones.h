// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's memory zones and their free lists (struct pglist_data, struct zone;
// include/linux/mmzone.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/memory/frame_table.h"
#include "model/memory/kernel_memory.h"
#include "model/memory/oddity.h"
#include "model/memory/page_types.h"
#include "model/memory/vmcoreinfo.h"
#include "model/result.h"

namespace jumpback::memory {

struct Zone {
    std::string name;  // "DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"; "" if unreadable
    Gva address;
    Pfn start;
    std::uint64_t spanned = 0;  // pages, holes included
    std::uint64_t present = 0;
    [[nodiscard]] Pfn end() const { return Pfn{start.raw + spanned}; }
    [[nodiscard]] bool high() const { return high_; }
    bool high_ = false;
};

// for_each_populated_zone(), in the kernel's order. Fails if the zones are not readable or lie.
Result<std::vector<Zone>> populated_zones(const KernelMemory& memory, const Vmcoreinfo& info);

// Frames on the free lists of all `zones`, one byte per pfn below `end`: 1 is free. This is what
// mark_free_pages() takes for free. Lists are followed with a bound; a broken one is an error.
// Where the struct pages do not agree (type buddy, order), an oddity is noted.
Result<std::vector<std::uint8_t>> free_frames(const KernelMemory& memory, const Vmcoreinfo& info,
                                              const FrameTable& frames, const PageTypes& types,
                                              const std::vector<Zone>& zones, Pfn end,
                                              Oddities& oddities);

}  // namespace jumpback::memory
