// SPDX-License-Identifier: GPL-2.0-or-later
//
// The swap header page: struct swsusp_header of kernel/power/swap.c, the last 44 bytes of the page.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/image/bytes.h"
#include "model/image/format.h"
#include "model/image/options.h"
#include "model/result.h"

namespace jumpback::swsusp {

struct SwapHeader {
    std::uint64_t page = 0;          // where the header lies, in pages from the buffer's start
    std::string signature;           // sig[10] without trailing NULs
    std::string original_signature;  // orig_sig[10], what swapon will see again
    std::uint64_t image_start = 0;   // first swap map page, in pages of the block device
    std::uint32_t flags = 0;         // SF_*
    std::uint32_t crc32 = 0;         // over the uncompressed units; meaningful with SF_CRC32_MODE
    // Kernels before 5.17 have reserved bytes in this place. The flag tells: without SF_HW_SIG no
    // kernel looks at the field, and 5.17+ leaves it alone when the firmware's signature is 0.
    std::optional<std::uint32_t> hardware_signature;
    // True if sig is a plain swap signature again although the other fields name an image: a kernel
    // puts the old signature back before it loads the image (swsusp_check).
    bool consumed = false;

    [[nodiscard]] bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
    [[nodiscard]] Compression compression() const;
};

// Reads and checks the header page `options.header_page` of `disk`. Errors: the page is outside, no
// image (plain swap, consumed image, no swap at all: told apart), unknown or contradictory flags.
[[nodiscard]] Result<SwapHeader> read_swap_header(ByteView disk, const ParseOptions& options);

}  // namespace jumpback::swsusp
