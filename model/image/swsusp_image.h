// SPDX-License-Identifier: GPL-2.0-or-later
//
// A Linux hibernation image (swsusp), read from the bytes of a swap partition or of the disk that
// holds a swap file. Pure: looks at the buffer it is handed and keeps nothing of it.
//
//     auto image = read_image(disk_bytes);
//     if (!image.ok()) report(image.error());           // names disk offset, map page, unit, slot
//     image->page(Pfn{0x1000});                          // the 4096 bytes that frame had
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/address.h"
#include "model/image/image_info.h"
#include "model/image/options.h"
#include "model/image/pfn_list.h"
#include "model/image/stream.h"
#include "model/image/swap_header.h"
#include "model/image/swap_map.h"
#include "model/result.h"

namespace jumpback::swsusp {

struct ImageHeader {
    SwapHeader swap;
    ImageInfo info;
    Compression compression = Compression::none;
    std::uint64_t info_disk_offset = 0;  // of the swsusp_info page, bytes
    std::uint64_t zero_pages = 0;        // frames that were all zero and have no data page
    std::uint64_t map_pages = 0;         // pages of the swap map chain
    std::uint64_t disk_pages = 0;        // pages the swap map lists: info, raw pages or units
    std::uint32_t crc32_computed =
        0;  // over what was read; equals swap.crc32 unless check_crc is off
    // What the image itself tells of the writing kernel: "5.17 or later", "6.6 or later" …
    std::string layout;

    [[nodiscard]] bool crc_matches() const {
        return !swap.has(kFlagCrc32) || crc32_computed == swap.crc32;
    }
};

// A run of bytes on the disk.
struct DiskExtent {
    std::uint64_t offset = 0;  // from the buffer's start, bytes
    std::uint64_t length = 0;  // bytes
};

// Where a frame's bytes come from.
struct PageLocation {
    Pfn pfn;
    bool zero = false;  // all zero: only the bit in the pfn list, no bytes of its own
    std::uint64_t stream_page =
        0;  // index in the stream: meta pages first; of the pfn's meta page if zero
    bool compressed = false;
    std::uint64_t unit = 0;  // compressed: the unit, and the page's index in it
    std::uint64_t unit_page = 0;
    std::uint64_t first_entry = 0;  // swap map entries that hold it
    std::uint64_t entries = 0;
    std::vector<DiskExtent> extents;  // whole disk pages, in order; one extent per run
};

class HibernationImage {
  public:
    [[nodiscard]] const ImageHeader& header() const { return header_; }
    [[nodiscard]] const SwapMap& swap_map() const { return map_; }
    [[nodiscard]] std::span<const Unit> units() const { return stream_.units; }

    // All saved frames, ascending; zero_flags()[i] is 1 where pfns()[i] was all zero.
    [[nodiscard]] std::span<const Pfn> pfns() const { return list_.pfns; }
    [[nodiscard]] std::span<const std::uint8_t> zero_flags() const { return list_.zero; }
    // The frames that have data, ascending: data() holds stored_pfns()[i] at i * 4096.
    [[nodiscard]] std::span<const Pfn> stored_pfns() const;
    [[nodiscard]] std::span<const Pfn> zero_pfns() const { return zero_pfns_; }
    [[nodiscard]] ByteView data() const;
    // Meta pages and data pages as the kernel's stream has them.
    [[nodiscard]] ByteView stream() const { return stream_.bytes.bytes(); }

    [[nodiscard]] bool contains(Pfn pfn) const;
    // The frame's 4096 bytes (a shared page of zeros for a zero frame); empty if it was not saved.
    [[nodiscard]] ByteView page(Pfn pfn) const;
    // Where on the disk they come from; nothing if the frame was not saved.
    [[nodiscard]] std::optional<PageLocation> location(Pfn pfn) const;

  private:
    friend Result<HibernationImage> read_image(ByteView disk, const ParseOptions& options);
    [[nodiscard]] std::optional<std::size_t> stored_index(Pfn pfn) const;
    [[nodiscard]] PageLocation locate_stream_page(std::uint64_t stream_page) const;

    ImageHeader header_;
    SwapMap map_;
    Stream stream_;
    PfnList list_;
    // Filled only if there are zero frames; else stored_pfns() is pfns().
    std::vector<Pfn> stored_pfns_;
    std::vector<Pfn> zero_pfns_;
};

// Reads the image whose swap header is `options.header_page` of `disk`. Every field is checked; the
// first thing wrong is the Error. Memory is bounded by 32 times the disk, whatever the image
// claims.
[[nodiscard]] Result<HibernationImage> read_image(ByteView disk, const ParseOptions& options = {});

}  // namespace jumpback::swsusp
