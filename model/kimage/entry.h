// SPDX-License-Identifier: GPL-2.0-or-later
//
// One word of a page list (kimage_entry_t): a page-aligned physical address with flags in its low
// bits. Mirrors include/linux/kexec.h and the bit tests in
// arch/x86/kernel/relocate_kernel_{32,64}.S, which look at DESTINATION, INDIRECTION, DONE and
// SOURCE in this order and skip a word with none.
#pragma once

#include <cstdint>

#include "model/address.h"

namespace jumpback::kimage {

inline constexpr std::uint64_t kIndDestination = 0x1;
inline constexpr std::uint64_t kIndIndirection = 0x2;
inline constexpr std::uint64_t kIndDone = 0x4;
inline constexpr std::uint64_t kIndSource = 0x8;
inline constexpr std::uint64_t kIndFlags = 0xf;

// Bytes of a word: unsigned long of the kernel that made the list.
enum class Word : unsigned { k32 = 4, k64 = 8 };

constexpr std::uint64_t bytes_of(Word word) { return static_cast<std::uint64_t>(word); }
// Words in one list page; the last one is the link to the next page, or the end.
constexpr std::uint64_t words_per_page(Word word) { return kPageSize / bytes_of(word); }

struct Entry {
    std::uint64_t raw = 0;

    [[nodiscard]] constexpr bool is_destination() const { return (raw & kIndDestination) != 0; }
    [[nodiscard]] constexpr bool is_indirection() const { return (raw & kIndIndirection) != 0; }
    [[nodiscard]] constexpr bool is_done() const { return (raw & kIndDone) != 0; }
    [[nodiscard]] constexpr bool is_source() const { return (raw & kIndSource) != 0; }
    // The assembly masks with ~0xfff (PAGE_MASK).
    [[nodiscard]] constexpr Gpa page() const { return Gpa{raw & ~(kPageSize - 1)}; }
    constexpr bool operator==(const Entry&) const = default;
};

// What one SOURCE word makes relocate_kernel do: swap or copy the page at `source` with the page at
// the write cursor. Both are page-aligned; they may be equal.
struct Move {
    Gpa destination;
    Gpa source;
    constexpr bool operator==(const Move&) const = default;
};

}  // namespace jumpback::kimage
