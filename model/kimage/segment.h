// SPDX-License-Identifier: GPL-2.0-or-later
//
// What user space hands to kexec_load: one segment (struct kexec_segment without its buffer, which
// page_content.h is about).
#pragma once

#include <cstdint>

#include "model/address.h"

namespace jumpback::kimage {

struct Segment {
    std::uint64_t bufsz = 0;  // bytes that come from the buffer; the rest of the segment is zero
    Gpa mem;                  // destination, page-aligned
    std::uint64_t memsz = 0;  // bytes at the destination, whole pages

    [[nodiscard]] constexpr std::uint64_t end() const { return mem.raw + memsz; }
    [[nodiscard]] constexpr std::uint64_t pages() const {
        return (memsz + kPageSize - 1) >> kPageShift;  // PAGE_COUNT()
    }
    constexpr bool operator==(const Segment&) const = default;
};

}  // namespace jumpback::kimage
