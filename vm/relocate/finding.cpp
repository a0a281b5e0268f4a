// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/finding.h"

#include <array>

#include "model/memory/text.h"

namespace jumpback::relocate_check {

using memory::hex;

namespace {

std::string bytes_text(const std::vector<std::byte>& bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const std::byte byte : bytes) {
        const unsigned value = std::to_integer<unsigned>(byte);
        text += kDigits[value >> 4];
        text += kDigits[value & 0xf];
    }
    return text;
}

}  // namespace

std::string_view name_of(Stop stop) {
    switch (stop) {
        case Stop::kCall:
            return "P0";
        case Stop::kCallee:
            return "P1";
        case Stop::kReturnPoint:
            return "P2";
        case Stop::kCaller:
            return "P3";
    }
    return "?";
}

std::string Finding::text() const {
    std::string out(name_of(stop));
    out += " " + place;
    switch (kind) {
        case FindingKind::kMemory:
            out += ": " + memory::count_of(differing, "byte") + " from GPA " + hex(gpa) +
                   " on, expected " + bytes_text(expected) + ", found " + bytes_text(found);
            break;
        case FindingKind::kRegister:
            out += ": expected " + hex(expected_value) + ", found " + hex(found_value);
            break;
        case FindingKind::kLost:
            break;
    }
    if (!note.empty()) {
        out += ": " + note;
    }
    if (known != nullptr) {
        out += " [known: " + std::string(known->id) + "]";
    } else if (resembles != nullptr) {
        out += " [looks like " + std::string(resembles->id);
        out += resembles->fix.empty() ? "]" : ", mended by " + std::string(resembles->fix) + "]";
    }
    return out;
}

}  // namespace jumpback::relocate_check
