// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random loads, and what memory must hold after the jump into one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <span>
#include <vector>

#include "model/kimage/kimage.h"
#include "model/kimage/page_content.h"
#include "model/kimage/segment.h"
#include "model/memory/writable_ram.h"

namespace jumpback::kimage::test {

// JUMPBACK_TEST_SEED, or a fixed one; printed once.
std::uint64_t seed();

// `count` segments of whole pages below `end_pfn`, in random order, some of length 0 (never at
// address 0), with random bytes for part of each.
struct RandomSegments {
    std::vector<Segment> segments;
    std::vector<std::vector<std::byte>> buffers;
    [[nodiscard]] std::vector<std::span<const std::byte>> spans() const;
};
RandomSegments random_segments(std::mt19937_64& random, std::size_t count, std::uint64_t end_pfn,
                               bool may_overlap);

// Bytes of each destination page, by frame number, as user space meant them: later segments win.
std::map<std::uint64_t, std::vector<std::byte>> intended(const RandomSegments& load);

// Writes list and pages into RAM, reads the list back with all rules on, moves the pages as
// relocate_kernel does for a plain kexec, and compares every destination with what was intended.
void expect_jump_gives(const Kimage& image, std::span<const PageContent> contents,
                       const RandomSegments& load, const memory::WritableRam& ram);

}  // namespace jumpback::kimage::test
