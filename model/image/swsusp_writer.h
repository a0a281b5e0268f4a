// SPDX-License-Identifier: GPL-2.0-or-later
//
// Builds hibernation images as the kernel's writer does, for tests, fuzzing and fault injection. In
// two steps, so that a test can spoil what lies between them: parts_of() makes the swsusp_info page
// and the uncompressed stream, lay_out() compresses, places and signs whatever it is handed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/address.h"
#include "model/image/bytes.h"
#include "model/image/format.h"
#include "model/result.h"

namespace jumpback::swsusp {

// What was saved.
struct ImageSpec {
    Arch arch = Arch::x86_64;
    bool md5_digest = false;                          // the record of kernels before 5.13
    std::uint64_t jump_address = 0xffffffff81001000;  // cut to 32 bits for i386
    std::uint64_t jump_address_phys = 0x1001000;
    std::uint64_t cr3 = 0x2000000;
    std::uint32_t e820_checksum = 0x12345678;
    std::uint64_t num_physpages = 65536;
    std::vector<Pfn> pfns;           // ascending
    std::vector<std::uint8_t> zero;  // empty, or one for each pfn: 1 has no page in `data`
    std::vector<std::byte> data;     // 4096 bytes for each pfn that is not zero
};

// Where and how it is put on the disk.
struct Placement {
    Compression compression = Compression::lzo;
    bool platform_mode = false;
    std::optional<std::uint32_t> hardware_signature;  // sets SF_HW_SIG
    std::uint64_t header_page = 0;
    std::uint64_t first_page = 1;  // pages below are taken, as if swapped out to
    // Not empty: disk pages are handed out in an order shuffled with this seed, as on a fragmented
    // swap.
    std::optional<std::uint64_t> scatter_seed;
    // 7.3 allocates a further map page when it needs one; before, as soon as one is full, which
    // leaves an empty map page at the end when the count comes out even.
    bool late_map_pages = false;
};

struct ImageParts {
    Arch arch = Arch::x86_64;
    std::vector<std::byte> info;    // 4096 bytes
    std::vector<std::byte> stream;  // meta and data pages
};

// Error: counts that do not fit each other (zero flags, data). Order and range of pfns are not
// checked.
[[nodiscard]] Result<ImageParts> parts_of(const ImageSpec& spec);

// Writes swap header, map chain and image into `disk` (whole pages; the rest of it stays as it is).
// Error: the disk is too small.
[[nodiscard]] Status lay_out(ByteSpan disk, const ImageParts& parts, const Placement& placement);

// Both steps.
[[nodiscard]] Status write_image(ByteSpan disk, const ImageSpec& spec, const Placement& placement);

// Writes only a swap header page (mkswap's SWAPSPACE2) over page `header_page`.
void write_swap_area(ByteSpan disk, std::uint64_t header_page = 0);

}  // namespace jumpback::swsusp
