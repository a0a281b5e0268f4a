// SPDX-License-Identifier: GPL-2.0-or-later
//
// Builds an image the way kexec_load does once its checks have passed: control pages, then one
// DESTINATION word a segment and one SOURCE word a page, every frame asked for in the kernel's
// order. Mirrors kimage_alloc_init(), machine_kexec_prepare(), kimage_load_normal_segment(),
// kimage_alloc_page() and kimage_add_entry() of kernel/kexec.c and kernel/kexec_core.c.
//
// Images of KEXEC_TYPE_CRASH are not built here: they have no list, their segments are written to
// their destinations at once.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "model/kimage/frame_source.h"
#include "model/kimage/kimage.h"
#include "model/kimage/load_rules.h"
#include "model/kimage/segment.h"

namespace jumpback::kimage {

enum class Lookup : std::uint8_t {
    kLinear,  // as kernels do it: O(pages) for each frame that is a destination
    kHashed,  // as the multi-stage patch does it
};

struct BuildPlan {
    const LoadRules* rules = nullptr;
    KernelSetup setup;
    std::span<const Segment> segments;  // have passed check_segments()
    Lookup lookup = Lookup::kHashed;
    // How many control pages machine_kexec_prepare() takes for page tables (the PGD included where
    // it is a control page of its own). What it maps depends on the machine, so the caller says;
    // none: no tables. Ignored where page tables are no control pages (i386).
    std::function<std::uint64_t(std::span<const Segment>)> page_tables;
    // kexec_load with KEXEC_ON_CRASH on a kernel without crash images takes no swap page.
    bool swap_page = true;
};

struct BuildCost {
    std::uint64_t frames = 0;  // allocations, whatever became of them
    std::uint64_t moved = 0;   // entries whose source was given away for their own destination
    std::uint64_t steps = 0;   // entries and parked pages looked at to find a destination
};

struct BuildResult {
    int error = 0;     // 0 or ENOMEM
    std::string text;  // what could not be had
    Kimage image;      // if an error came: as far as it got, its frames released
    BuildCost cost;
};

BuildResult build(const BuildPlan& plan, FrameSource& frames);

}  // namespace jumpback::kimage
