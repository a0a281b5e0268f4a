// SPDX-License-Identifier: GPL-2.0-or-later
//
// The first page of the image: struct swsusp_info (kernel/power/power.h) with x86's
// restore_data_record (arch/x86/power/hibernate.c) over its start. Never compressed, not covered by
// the CRC32.
#pragma once

#include <array>
#include <cstdint>

#include "model/image/bytes.h"
#include "model/image/format.h"
#include "model/result.h"

namespace jumpback::swsusp {

struct ImageInfo {
    Arch arch = Arch::x86_64;
    // restore_data_record
    std::uint64_t jump_address = 0;       // virtual, restore_registers of the image kernel
    std::uint64_t jump_address_phys = 0;  // physical, the same place
    std::uint64_t cr3 = 0;                // the image kernel's page tables, PCID bits cleared
    std::uint64_t magic = 0;              // RESTORE_MAGIC
    bool md5_digest = false;          // kernels before 5.13: e820_digest instead of the checksum
    std::uint32_t e820_checksum = 0;  // ~crc32_le(~0, e820_table_firmware)
    std::array<std::byte, kMd5Bytes> e820_digest{};
    // swsusp_info
    std::uint32_t version_code = 0;   // 0: x86 fills the arch record instead
    std::uint64_t num_physpages = 0;  // the machine's pages of RAM
    std::uint32_t cpus = 0;           // 0, as version_code
    std::uint64_t image_pages =
        0;  // data pages in the image; all-zero pages that were left out do not count
    std::uint64_t pages = 0;  // all pages: this one, meta pages, data pages
    std::uint64_t size = 0;   // pages in bytes, modulo 2^32 on i386

    [[nodiscard]] std::uint64_t meta_pages() const { return pages - image_pages - 1; }
};

// Reads and checks one page. `where` names it in errors ("swsusp_info at disk offset 0x3000"). The
// word size is told by where the magic lies. Errors name the field's offset in the page.
[[nodiscard]] Result<ImageInfo> read_image_info(ByteView page, const std::string& where,
                                                bool check_reserved);

}  // namespace jumpback::swsusp
