// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a caller may ask of the reader beyond the default, which is to believe nothing unchecked.
#pragma once

#include <cstdint>
#include <optional>

namespace jumpback::swsusp {

struct ParseOptions {
    // The swap header's page in the buffer: 0 for a partition, resume_offset for a swap file (the
    // buffer is then the whole block device: the swap map counts in its pages).
    std::uint64_t header_page = 0;
    // Read an image although the signature is not S1SUSPEND: one that a resume has already
    // consumed. The fields image, flags and crc32 still stand then, and so do the pages until swap
    // is used again.
    bool ignore_signature = false;
    // Take this page as the first swap map page instead of the header's field.
    std::optional<std::uint64_t> image_start;
    // False: a CRC32 that does not match is recorded in the header instead of being an error.
    bool check_crc = true;
    // False: bytes that every surveyed kernel leaves zero (rest of the swsusp_info page, pfn slots
    // after the end mark) may hold anything. For kernels newer than the survey.
    bool check_reserved = true;
    // Page frame numbers must be below this; what the caller knows about the machine's RAM. Without
    // it only the architecture's limit holds: RAM has holes, so num_physpages bounds no frame
    // number.
    std::optional<std::uint64_t> pfn_limit;
};

}  // namespace jumpback::swsusp
