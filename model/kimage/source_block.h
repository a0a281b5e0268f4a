// SPDX-License-Identifier: GPL-2.0-or-later
//
// A quick look at a block of words of a page list. Nearly all words of a list are plain SOURCE
// words; told so a block at a time, with arithmetic that a compiler makes vector instructions of,
// they cost little more than the memory that they stand in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model/address.h"
#include "model/kimage/entry.h"

namespace jumpback::kimage {

// Small, because a block with anything else in it is read word by word.
inline constexpr std::uint64_t kBlockWords = 16;

struct SourceBlock {
    bool plain = false;   // all are SOURCE words with no other low bit, of pages in [start, end)
    bool rising = false;  // and each page is the one after that of the word before
};

// Looks at kBlockWords words. `start` and `end` are page-aligned, start < end <= 2^63.
template <typename Unit>
SourceBlock look_at_block(const std::byte* words, std::uint64_t start, std::uint64_t end) {
    Unit block[kBlockWords];
    std::memcpy(block, words, sizeof block);
    std::uint64_t low_bits = 0;
    std::uint64_t outside = 0;  // bit 63: some page is
    std::uint64_t not_rising = 0;
    const std::uint64_t first = block[0];
    for (std::uint64_t at = 0; at < kBlockWords; ++at) {
        const std::uint64_t raw = block[at];
        low_bits |= raw ^ kIndSource;
        outside |= (raw - start) | (end - 1 - raw);
        not_rising |= (raw - at * kPageSize) ^ first;
    }
    SourceBlock seen;
    seen.plain = (low_bits & (kPageSize - 1)) == 0 && outside >> 63 == 0;
    seen.rising = seen.plain && not_rising == 0;
    return seen;
}

}  // namespace jumpback::kimage
