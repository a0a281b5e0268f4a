// SPDX-License-Identifier: GPL-2.0-or-later
//
// Numbers as people read them in error messages.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace jumpback::memory {

inline std::string hex(std::uint64_t value) {
    char digits[16];
    const auto [end, failure] = std::to_chars(digits, digits + sizeof digits, value, 16);
    (void)failure;  // 16 digits hold every 64-bit value
    return "0x" + std::string(digits, end);
}

inline std::string count_of(std::uint64_t count, std::string_view thing) {
    std::string text = std::to_string(count) + " ";
    text += thing;
    if (count != 1) {
        text += 's';
    }
    return text;
}

}  // namespace jumpback::memory
