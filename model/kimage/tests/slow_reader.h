// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads a page list word by word with sets and no shortcut: what page_list.h must agree with.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/kimage/page_list.h"

namespace jumpback::kimage::test {

struct SlowReading {
    std::vector<Move> moves;
    std::vector<Gpa> list_pages;
    std::uint64_t lone = 0;
    std::optional<Malformed> kind;
    std::optional<Gpa> list_page;  // of the bad word
    std::uint64_t index = 0;
};

SlowReading read_slowly(const memory::GuestRam& ram, std::uint64_t head, Word word,
                        const DecodeRules& rules);

// What differs between the two, or an empty text.
std::string difference(const Decoding& decoding, const SlowReading& slow, const DecodeRules& rules);

}  // namespace jumpback::kimage::test
