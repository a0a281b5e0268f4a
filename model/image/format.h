// SPDX-License-Identifier: GPL-2.0-or-later
//
// The numbers of the swsusp on-disk format (x86, little endian, 4 KiB pages), as the kernel has
// them in kernel/power/swap.c, snapshot.c, power.h and arch/x86/power/hibernate.c.
// docs/image-format.md tells the whole story by kernel version.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/address.h"

namespace jumpback::swsusp {

static_assert(std::endian::native == std::endian::little, "the format is read as it lies");

// struct swsusp_header, at the end of the swap header page: byte offsets in that page.
inline constexpr std::size_t kOffHwSig = 4056;  // u32, 5.17 and later; reserved bytes before that
inline constexpr std::size_t kOffCrc32 = 4060;  // u32
inline constexpr std::size_t kOffImage = 4064;  // u64, in pages of the block device
inline constexpr std::size_t kOffFlags = 4072;  // u32
inline constexpr std::size_t kOffOrigSig = 4076;
inline constexpr std::size_t kOffSig = 4086;
inline constexpr std::size_t kSigLength = 10;
inline constexpr std::string_view kSigImage{"S1SUSPEND\0", kSigLength};
inline constexpr std::string_view kSigSwap1{"SWAP-SPACE", kSigLength};
inline constexpr std::string_view kSigSwap2{"SWAPSPACE2", kSigLength};

// kernel/power/power.h
inline constexpr std::uint32_t kFlagPlatform = 1;
inline constexpr std::uint32_t kFlagNoCompress = 2;
inline constexpr std::uint32_t kFlagCrc32 = 4;
inline constexpr std::uint32_t kFlagHwSig = 8;  // 5.17 and later
inline constexpr std::uint32_t kFlagLz4 = 16;   // 6.12 in our survey
inline constexpr std::uint32_t kKnownFlags = 31;

// struct swap_map_page: 511 page offsets and the offset of the next map page.
inline constexpr std::size_t kMapEntries = kPageSize / 8 - 1;

// The compressed stream: units of 32 pages, each with its compressed length in a size_t before it.
inline constexpr std::size_t kUnitPages = 32;
inline constexpr std::size_t kUnitBytes = kUnitPages * kPageSize;
// bytes_worst_compress(): what the kernel accepts as a unit's compressed length, whatever the
// codec.
inline constexpr std::size_t kMaxCompressed = kUnitBytes + kUnitBytes / 16 + 64 + 3 + 2;
inline constexpr std::size_t kMaxUnitDiskPages = (kMaxCompressed + 8 + kPageSize - 1) / kPageSize;

enum class Arch { x86_64, i386 };
enum class Compression { none, lzo, lz4 };

constexpr std::string_view name_of(Arch arch) { return arch == Arch::x86_64 ? "x86_64" : "i386"; }
constexpr std::string_view name_of(Compression compression) {
    switch (compression) {
        case Compression::lzo:
            return "lzo";
        case Compression::lz4:
            return "lz4";
        case Compression::none:
            break;
    }
    return "none";
}

// sizeof(long) and sizeof(size_t) of the kernel that wrote the image, bytes.
constexpr std::size_t word_bytes(Arch arch) { return arch == Arch::x86_64 ? 8 : 4; }
constexpr std::size_t pfns_per_page(Arch arch) { return kPageSize / word_bytes(arch); }

// Ends a pfn list that does not fill its last page (BM_END_OF_MAP, ~0UL).
constexpr std::uint64_t pfn_end_mark(Arch arch) {
    return arch == Arch::x86_64 ? ~std::uint64_t{0} : std::uint64_t{0xffffffff};
}
// ENCODED_PFN_ZERO_FLAG: the page was all zero and is not in the image (6.12 in our survey).
constexpr std::uint64_t pfn_zero_flag(Arch arch) {
    return std::uint64_t{1} << (word_bytes(arch) * 8 - 1);
}
// No frame lies above: 52 physical address bits on x86_64, 36 (PAE) on i386.
constexpr std::uint64_t pfn_limit(Arch arch) {
    return std::uint64_t{1} << ((arch == Arch::x86_64 ? 52 : 36) - kPageShift);
}

// RESTORE_MAGIC of arch/x86/power/hibernate.c. The values one lower belong to kernels before 5.13,
// whose record ends in an MD5 digest of the e820 table instead of a CRC32.
inline constexpr std::uint64_t kMagic64 = 0x23456789ABCDEF02;
inline constexpr std::uint64_t kMagic64Md5 = 0x23456789ABCDEF01;
inline constexpr std::uint32_t kMagic32 = 0x12345679;
inline constexpr std::uint32_t kMagic32Md5 = 0x12345678;

// Byte offsets in the swsusp_info page, by the size of long. The restore_data_record lies over the
// new_utsname at its start (390 bytes, never filled on x86).
struct InfoLayout {
    std::size_t jump_address, jump_address_phys, cr3, magic, e820, record_end;
    std::size_t version_code, num_physpages, cpus, image_pages, pages, size, end;
};
inline constexpr InfoLayout kInfo64{0, 8, 16, 24, 32, 40, 392, 400, 408, 416, 424, 432, 440};
inline constexpr InfoLayout kInfo32{0, 4, 8, 12, 16, 20, 392, 396, 400, 404, 408, 412, 416};
inline constexpr std::size_t kMd5Bytes = 16;
constexpr const InfoLayout& info_layout(Arch arch) {
    return arch == Arch::x86_64 ? kInfo64 : kInfo32;
}

}  // namespace jumpback::swsusp
