// SPDX-License-Identifier: GPL-2.0-or-later
//
// Page lists made of arbitrary bytes, so aimed that most of a list makes sense: for the fuzzer and
// for random tests.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/kimage/page_list.h"

namespace jumpback::kimage::test {

class RandomList {
  public:
    static constexpr std::uint64_t kFrames = 96;  // 64 from GPA 0 on, 32 at 1 MiB

    RandomList();
    // Clears what was written before and makes a list, its rules and its head out of `data`.
    void make(std::span<const std::uint8_t> data);

    [[nodiscard]] const memory::GuestRam& ram() const { return ram_; }
    std::uint64_t head = 0;
    Word word = Word::k64;
    DecodeRules rules;

  private:
    void put(std::uint64_t frame, std::uint64_t index, std::uint64_t raw);

    std::vector<std::byte> buffer_;
    memory::GuestRam ram_;
    std::vector<std::uint64_t> written_;  // frames to clear
};

}  // namespace jumpback::kimage::test
