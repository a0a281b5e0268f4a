// SPDX-License-Identifier: GPL-2.0-or-later
//
// Judges one page after the other: equal, different as allowed, or different. Used by the
// comparisons of this folder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/relocate/frame.h"

namespace jumpback::relocate {

// Error: an allowance crosses a page.
Status check_allowances(std::span<const Allowance> allowed);

class FrameJudge {
  public:
    // All three are borrowed.
    FrameJudge(std::span<const Allowance> allowed, std::size_t limit, FrameComparison& out);

    // Pages of [gpa, gpa + length): runs between pages with an allowance at memcmp's speed.
    void region(Gpa gpa, const std::byte* expected, const std::byte* found, std::uint64_t length);
    // The page at `gpa`.
    void page(Gpa gpa, const std::byte* expected, const std::byte* found);
    // Pages of which nothing else is to be known.
    void equal_pages(std::uint64_t count) { out_.compared += count; }

  private:
    using Words = std::array<std::uint64_t, kPageSize / sizeof(std::uint64_t)>;

    void run(Gpa gpa, const std::byte* expected, const std::byte* found, std::uint64_t length);
    void excuse(Gpa gpa, const Words& left, Words& right);

    std::span<const Allowance> allowed_;
    std::size_t limit_;
    FrameComparison& out_;
    std::vector<std::uint64_t> special_;  // page frames with an allowance, sorted
};

}  // namespace jumpback::relocate
