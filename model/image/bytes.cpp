// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/bytes.h"

#include <array>
#include <charconv>

namespace jumpback::swsusp {

std::string hex(std::uint64_t value) {
    std::array<char, 16> digits{};
    const auto [end, error] =
        std::to_chars(digits.data(), digits.data() + digits.size(), value, 16);
    static_cast<void>(error);  // 16 digits hold any 64-bit number
    return "0x" + std::string(digits.data(), end);
}

std::string disk_offset(std::uint64_t page) { return "disk offset " + hex(page * kPageSize); }

}  // namespace jumpback::swsusp
