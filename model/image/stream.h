// SPDX-License-Identifier: GPL-2.0-or-later
//
// The stream of meta and data pages behind the swsusp_info page: raw pages one by one, or units of
// 32 pages through a compressor (save_compressed_image, save_image_lzo of kernel/power/swap.c).
#pragma once

#include <cstdint>
#include <vector>

#include "model/image/bytes.h"
#include "model/image/format.h"
#include "model/image/stream_buffer.h"
#include "model/image/swap_map.h"
#include "model/result.h"

namespace jumpback::swsusp {

// One compressed unit on disk.
struct Unit {
    std::size_t first_entry = 0;   // in SwapMap::entries; the first of the unit's disk pages
    std::size_t disk_pages = 0;    // ceil((word + length) / 4096)
    std::size_t compressed = 0;    // length as it stands before the data, bytes
    std::size_t uncompressed = 0;  // bytes: 131072, less for the last unit
};

struct StreamShape {
    Arch arch = Arch::x86_64;
    Compression compression = Compression::none;
    std::uint64_t pages = 0;  // of the stream, so swsusp_info.pages - 1
};

struct Stream {
    StreamBuffer bytes;
    std::vector<Unit> units;  // empty for a raw image
    std::uint32_t crc32 = 0;  // over the uncompressed units; 0 for a raw image
};

// "unit 3 (entry 40 (swap map page 0 at …, slot 40), disk offset 0x2b000)"
[[nodiscard]] std::string unit_place(const SwapMap& map, std::size_t unit, std::size_t first_entry);

// Reads the length word of the unit that begins at `first_entry` and checks that it and its pages
// are there.
[[nodiscard]] Result<Unit> read_unit(ByteView disk, const SwapMap& map, const StreamShape& shape,
                                     std::size_t index, std::size_t first_entry);

// A unit's compressed bytes in one piece: in place if its disk pages lie in one run, else gathered
// into `scratch`.
[[nodiscard]] ByteView unit_bytes(ByteView disk, const SwapMap& map, const Unit& unit, Arch arch,
                                  std::vector<std::byte>& scratch);

// Decodes the whole stream, one pass, straight to its final place; the CRC is taken while a unit is
// in cache. Refuses a page count that the disk cannot hold before it allocates. Errors name the
// unit.
[[nodiscard]] Result<Stream> read_stream(ByteView disk, const SwapMap& map,
                                         const StreamShape& shape);

}  // namespace jumpback::swsusp
