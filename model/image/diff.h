// SPDX-License-Identifier: GPL-2.0-or-later
//
// What differs between two images, frame by frame. A zero frame counts as 4096 zero bytes, so
// images of kernels with and without the zero-page bit compare by content.
#pragma once

#include <cstdint>
#include <vector>

#include "model/address.h"
#include "model/image/swsusp_image.h"

namespace jumpback::swsusp {

struct PageDifference {
    Pfn pfn;
    std::uint32_t first_offset = 0;  // of the first differing byte in the page
    std::uint32_t count = 0;         // differing bytes, 1 to 4096
    std::uint8_t a = 0;              // the bytes at first_offset
    std::uint8_t b = 0;
};

struct ImageDiff {
    std::vector<Pfn> only_a;  // ascending, as the other two
    std::vector<Pfn> only_b;
    std::vector<PageDifference> differing;
    std::uint64_t equal = 0;  // frames in both with the same bytes

    [[nodiscard]] bool same() const {
        return only_a.empty() && only_b.empty() && differing.empty();
    }
};

[[nodiscard]] ImageDiff diff_images(const HibernationImage& a, const HibernationImage& b);

}  // namespace jumpback::swsusp
