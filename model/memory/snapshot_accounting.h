// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which frames hibernation had to save, computed from captured RAM at the moment when the snapshot
// is complete: right after copy_data_pages() in swsusp_save() (kernel/power/snapshot.c), before
// anything is written. The expected set is computed from free lists, nosave regions and page
// structures; the kernel's own bitmaps are then held against it, not believed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "model/address.h"
#include "model/memory/compare.h"
#include "model/memory/guest_kernel.h"
#include "model/memory/oddity.h"
#include "model/result.h"

namespace jumpback::memory {

// The codes of harness/results.py, FrameState. The rest of them come from later comparisons.
enum class FrameState : std::uint8_t {
    kHole = 0,    // no struct page, not online, or in no zone
    kFree = 1,    // on a free list
    kNosave = 2,  // nosave region or section, not mapped, offline or guard page
    kOwn = 3,     // the snapshot code's copies and bitmaps
    kZero = 4,    // must be in the image, which the kernel will do by a mark only (6.6 and later)
    kSaved = 9,   // must be in the image
};
inline constexpr std::size_t kFrameStates = 10;

struct SnapshotAccounting {
    std::vector<std::uint8_t> states;  // a FrameState for every pfn below the end of the last zone
    std::array<std::uint64_t, kFrameStates> counts{};  // frames in each state
    std::vector<std::uint64_t>
        expected;  // frames that had to be saved: kSaved and kZero, ascending
    std::vector<std::uint64_t> recorded;  // orig_bm: frames that the kernel recorded as saveable
    std::vector<std::uint64_t> copied;    // those with a copy ...
    std::vector<std::uint64_t> copies;    // ... and the frame of each copy: copies[i] of copied[i]
    std::vector<std::uint64_t> zero;      // zero_bm: recorded as full of zeros
    std::uint64_t nr_copy_pages = 0;      // the kernel's own counter
    std::uint64_t spare_copy_pages = 0;   // allocated for copies and not needed
    Comparison copy_contents;             // each original against its copy, now
    Oddities oddities;                    // contradictions: none in a sound snapshot
};

// `copy_options`: exceptions for what changes between the copying of a page and the capture, in
// frames of the originals. Fails if memory cannot be made sense of at all (not at that moment,
// wrong vmlinux, overwritten structures).
Result<SnapshotAccounting> account_snapshot(const GuestKernel& kernel,
                                            const CompareOptions& copy_options);

// Exact set difference; all lists ascending.
struct Coverage {
    std::vector<std::uint64_t> missing;     // expected and not in the image
    std::vector<std::uint64_t> surplus;     // in the image and not expected
    std::vector<std::uint64_t> duplicates;  // more than once in the image
};
Coverage check_coverage(std::span<const std::uint64_t> expected,
                        std::span<const std::uint64_t> image);

}  // namespace jumpback::memory
