// SPDX-License-Identifier: GPL-2.0-or-later
//
// The page frame numbers in the image's meta pages (pack_pfns of kernel/power/snapshot.c).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/address.h"
#include "model/image/bytes.h"
#include "model/image/image_info.h"
#include "model/result.h"

namespace jumpback::swsusp {

struct PfnList {
    std::vector<Pfn> pfns;           // all frames, in the order of the list: ascending
    std::vector<std::uint8_t> zero;  // 1 where the frame was all zero and has no data page
    std::uint64_t zero_count = 0;
};

// Names the place of meta page `i` on disk, for errors.
using MetaPlace = std::function<std::string(std::uint64_t)>;

// Decodes `meta` (info.meta_pages() whole pages). The order must ascend strictly: the kernel's
// reader collects the frames in a bitmap and hands out the data pages in the bitmap's order, so any
// other order would restore pages to wrong frames. Errors name meta page and slot.
[[nodiscard]] Result<PfnList> read_pfn_list(ByteView meta, const ImageInfo& info,
                                            std::uint64_t pfn_limit, bool check_reserved,
                                            const MetaPlace& place);

}  // namespace jumpback::swsusp
