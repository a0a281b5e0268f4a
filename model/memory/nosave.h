// SPDX-License-Identifier: GPL-2.0-or-later
//
// Frames whose contents must not be saved: the kernel's list nosave_regions
// (kernel/power/snapshot.c, filled from the firmware's memory map) and the section between
// __nosave_begin and __nosave_end (pfn_is_nosave(), arch/x86/power/hibernate.c).
#pragma once

#include <cstdint>
#include <vector>

#include "model/address.h"
#include "model/memory/kernel_memory.h"
#include "model/result.h"

namespace jumpback::memory {

struct FrameRange {
    Pfn start;
    Pfn end;  // one past the last
    [[nodiscard]] bool contains(Pfn pfn) const { return pfn >= start && pfn < end; }
};

struct NosaveFrames {
    std::vector<FrameRange> regions;
    FrameRange section;
    [[nodiscard]] bool in_region(Pfn pfn) const;
    [[nodiscard]] bool in_section(Pfn pfn) const { return section.contains(pfn); }
};

// Fails if the list is broken or the symbols are missing.
Result<NosaveFrames> read_nosave(const KernelMemory& memory);

}  // namespace jumpback::memory
