// SPDX-License-Identifier: GPL-2.0-or-later
//
// Alters single pages of an image where it lies on the disk, so that a kernel still accepts it:
// what the rig's red twins are made of. Only the unit that holds the page is rewritten (same disk
// pages, same algorithm), and the header's CRC32.
#pragma once

#include <cstdint>
#include <vector>

#include "model/address.h"
#include "model/image/bytes.h"
#include "model/image/options.h"
#include "model/image/swsusp_image.h"
#include "model/result.h"

namespace jumpback::swsusp {

struct PatchOptions {
    ParseOptions parse;
    bool fix_crc =
        true;  // false: leave the header's CRC32 as it is; a kernel then refuses the image
};

struct PatchedUnit {
    std::uint64_t unit = 0;
    std::size_t compressed_before = 0;  // bytes
    std::size_t compressed_after = 0;   // bytes; takes as many disk pages as before
};

struct PatchReport {
    std::vector<PageLocation> pages;  // of the altered pages, in the order given
    std::vector<PatchedUnit> units;   // rewritten units; empty for a raw image
    std::uint32_t crc32_before = 0;   // the header's field
    std::uint32_t crc32_after = 0;
};

struct PageEdit {
    Pfn pfn;
    std::vector<std::byte> bytes;  // 4096
};

// Gives frames new content. Either all edits are on the disk afterwards, or an Error came back and
// the disk is untouched. Errors: the image does not parse; a frame is not in the image, or is a
// zero frame (which has no bytes); a unit does not compress into the disk pages it has: choose
// another page.
[[nodiscard]] Result<PatchReport> replace_pages(ByteSpan disk, const std::vector<PageEdit>& edits,
                                                const PatchOptions& options = {});
[[nodiscard]] Result<PatchReport> replace_page(ByteSpan disk, Pfn pfn, ByteView bytes,
                                               const PatchOptions& options = {});
// XORs one byte with `mask` (not 0); `offset` is below 4096.
[[nodiscard]] Result<PatchReport> flip_byte(ByteSpan disk, Pfn pfn, std::size_t offset,
                                            std::uint8_t mask = 0xff,
                                            const PatchOptions& options = {});
// Frame a gets b's content and the other way round. They must differ, or nothing would be tested.
[[nodiscard]] Result<PatchReport> swap_pages(ByteSpan disk, Pfn a, Pfn b,
                                             const PatchOptions& options = {});

}  // namespace jumpback::swsusp
