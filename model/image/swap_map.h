// SPDX-License-Identifier: GPL-2.0-or-later
//
// The chain of swap map pages: where on the disk the image's pages lie, in order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/image/bytes.h"
#include "model/result.h"

namespace jumpback::swsusp {

struct SwapMap {
    std::vector<std::uint64_t> map_pages;  // disk pages of the chain itself, in order
    std::vector<std::uint64_t> entries;    // disk page of the image's page i

    // "entry 5 (map page 0 at disk offset 0x2000, slot 5)"
    [[nodiscard]] std::string place(std::size_t entry) const;
};

// Follows the chain from `first`. Everything a writer cannot produce is an error naming the map
// page and slot: a page outside the disk, the swap header page, a page that is used twice (so also
// a cycle), an entry after the terminating 0, a chain that goes on after a map page that is not
// full. Memory: one bit per disk page plus 8 bytes per entry; no entry is taken twice, so the disk
// bounds it.
[[nodiscard]] Result<SwapMap> read_swap_map(ByteView disk, std::uint64_t header_page,
                                            std::uint64_t first);

}  // namespace jumpback::swsusp
