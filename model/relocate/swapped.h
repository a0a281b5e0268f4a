// SPDX-License-Identifier: GPL-2.0-or-later
//
// All of RAM at one stop of a jump against all of RAM at another one, byte for byte, where the
// pages of a list have changed places in between. For machines with RAM of which little is in use:
// what is not resident reads as zero and is not touched. Runs at about the speed of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/address.h"
#include "model/kimage/entry.h"
#include "model/memory/guest_ram.h"
#include "model/relocate/frame.h"
#include "model/result.h"

namespace jumpback::relocate {

// A stretch of a RAM view's buffer that is there; what no extent covers is zero.
struct Extent {
    Bytes offset;
    Bytes length;
};

// RAM at one moment.
struct RamState {
    const memory::GuestRam* ram = nullptr;
    std::span<const Extent> resident{};
    bool sparse = false;  // false: all of it is resident
};

struct SwapQuestion {
    // Sound: no frame stands in two moves (d == s is nothing to swap).
    std::span<const kimage::Move> moves{};
    std::span<const std::uint64_t> left_out{};  // pfns that are not compared
    std::span<const Allowance> allowed{};
    std::size_t limit = 64;  // of listed differences
};

// Each frame of `after` must hold what stood in `before` at the frame that it was swapped with, or
// at its own. Errors: regions of the two differ; a frame of the list is not RAM, or stands in two
// moves; a frame that is left out is not RAM.
Result<FrameComparison> compare_swapped(const RamState& before, const RamState& after,
                                        const SwapQuestion& question);

// Frames as they are at one moment. Takes memory once and keeps it.
class FrameCopy {
  public:
    // Error: one of them is not RAM; the copy is then empty.
    Status take(const RamState& state, std::span<const Gpa> frames);
    [[nodiscard]] std::size_t size() const { return place_.size(); }
    [[nodiscard]] std::uint64_t bytes() const { return used_; }
    [[nodiscard]] const std::byte* page(std::size_t index) const;

  private:
    std::unique_ptr<std::byte[]> data_;
    std::uint64_t room_ = 0;            // bytes of data_
    std::vector<std::uint64_t> place_;  // of each frame in data_; kZero: it was zero
    std::uint64_t used_ = 0;            // of data_
};

// Page i of the copy against the frame at frames[i] of `after`. Error: not RAM, or not as many.
Result<FrameComparison> compare_copy(const FrameCopy& copy, const RamState& after,
                                     std::span<const Gpa> frames,
                                     std::span<const Allowance> allowed, std::size_t limit);

}  // namespace jumpback::relocate
