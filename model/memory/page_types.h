// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a struct page says of its frame: page types (which share 32 bits with _mapcount) and page
// flags (include/linux/page-flags.h). The encoding of types has changed three times; vmcoreinfo's
// PAGE_BUDDY_MAPCOUNT_VALUE tells which one the kernel uses.
#pragma once

#include <cstdint>
#include <optional>

#include "model/memory/frame_table.h"
#include "model/memory/vmcoreinfo.h"
#include "model/result.h"

namespace jumpback::memory {

enum class PageType {
    kNone,
    kBuddy,
    kOffline,
    kTable,
    kGuard,
    kHugetlb,
    kSlab,
    kZsmalloc,
    kUnaccepted,
    kLargeKmalloc,
    kNetPool,
    kOther
};

class PageTypes {
  public:
    static Result<PageTypes> create(const Vmcoreinfo& info);

    [[nodiscard]] PageType type_of(const PageStruct& page) const;

    [[nodiscard]] bool reserved(const PageStruct& page) const { return bit(page, reserved_); }
    [[nodiscard]] bool on_lru(const PageStruct& page) const { return bit(page, lru_); }
    [[nodiscard]] bool swap_backed(const PageStruct& page) const { return bit(page, swap_backed_); }
    [[nodiscard]] bool swap_cache(const PageStruct& page) const { return bit(page, swap_cache_); }
    [[nodiscard]] bool poisoned(const PageStruct& page) const {
        return hwpoison_ && bit(page, *hwpoison_);
    }
    [[nodiscard]] bool head(const PageStruct& page) const { return (page.flags & head_mask_) != 0; }
    [[nodiscard]] unsigned reserved_bit() const { return reserved_; }

  private:
    // Up to 6.9: 0xf0000000 with the type's bit clear; 6.10 and 6.11: 0x80000000 likewise; since
    // 6.12 the top byte is the type's number (PGTY_*).
    enum class Encoding { kLowBits, kHighBits, kTopByte };

    static bool bit(const PageStruct& page, unsigned number) {
        return (page.flags >> number & 1) != 0;
    }
    [[nodiscard]] PageType type_by_bit(std::uint32_t raw) const;

    Encoding encoding_ = Encoding::kLowBits;
    std::uint32_t buddy_bit_ = 0;
    unsigned reserved_ = 0;
    unsigned lru_ = 0;
    unsigned swap_backed_ = 0;
    unsigned swap_cache_ = 0;
    std::uint64_t head_mask_ = 0;
    std::optional<unsigned> slab_;      // a page flag up to 6.9
    std::optional<unsigned> hwpoison_;  // CONFIG_MEMORY_FAILURE
};

}  // namespace jumpback::memory
