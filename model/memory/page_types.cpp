// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/page_types.h"

#include <array>
#include <string>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

Result<unsigned> flag_number(const Vmcoreinfo& info, const char* name) {
    const std::optional<std::int64_t> number = info.number(name);
    if (!number || *number < 0 || *number > 63) {
        return Error{"vmcoreinfo",
                     std::string("NUMBER(") + name +
                         ") is missing or no bit number: kernel too old or not Linux"};
    }
    return static_cast<unsigned>(*number);
}

std::optional<unsigned> optional_flag(const Vmcoreinfo& info, const char* name) {
    const Result<unsigned> number = flag_number(info, name);
    return number ? std::optional(*number) : std::nullopt;
}

}  // namespace

Result<PageTypes> PageTypes::create(const Vmcoreinfo& info) {
    PageTypes types;
    const std::optional<std::int64_t> buddy = info.number("PAGE_BUDDY_MAPCOUNT_VALUE");
    if (!buddy) {
        return Error{"vmcoreinfo", "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE) is missing"};
    }
    const auto value = static_cast<std::uint32_t>(*buddy);
    types.buddy_bit_ = ~value;
    if ((value & 0x00ff'ffff) == 0) {
        types.encoding_ = Encoding::kTopByte;
        types.buddy_bit_ = value >> 24;
    } else if (types.buddy_bit_ == 0x80) {
        types.encoding_ = Encoding::kLowBits;
    } else if (types.buddy_bit_ == 0x4000'0000) {
        types.encoding_ = Encoding::kHighBits;
    } else {
        return Error{"vmcoreinfo NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
                     "is " + hex(value) + ": page types of a kernel not known here"};
    }
    struct Wanted {
        const char* name;
        unsigned* place;
    };
    unsigned private_bit = 0;
    const std::array<Wanted, 4> wanted{{{"PG_lru", &types.lru_},
                                        {"PG_private", &private_bit},
                                        {"PG_swapcache", &types.swap_cache_},
                                        {"PG_swapbacked", &types.swap_backed_}}};
    for (const Wanted& flag : wanted) {
        const Result<unsigned> number = flag_number(info, flag.name);
        if (!number) {
            return number.error();
        }
        *flag.place = *number;
    }
    if (private_bit == 0) {
        return Error{"vmcoreinfo NUMBER(PG_private)", "is 0, but PG_reserved comes before it"};
    }
    // PG_reserved itself is not in the list; it has come right before PG_private since 2.6.
    types.reserved_ = private_bit - 1;
    types.slab_ = optional_flag(info, "PG_slab");
    types.hwpoison_ = optional_flag(info, "PG_hwpoison");
    const std::optional<std::int64_t> head = info.number("PG_head_mask");
    types.head_mask_ = head ? static_cast<std::uint64_t>(*head) : 0;
    return types;
}

PageType PageTypes::type_by_bit(std::uint32_t raw) const {
    // Each type has its own bit, from buddy's on: upwards in the low encoding, downwards in the
    // high one.
    const bool low = encoding_ == Encoding::kLowBits;
    const std::uint32_t base = low ? 0xf000'0000 : 0x8000'0000;
    if ((raw & base) != base) {
        return PageType::kNone;
    }
    constexpr std::array<PageType, 6> kOrder{PageType::kBuddy, PageType::kOffline, PageType::kTable,
                                             PageType::kGuard, PageType::kHugetlb, PageType::kSlab};
    const std::size_t known = low ? 4 : 6;
    for (std::size_t index = 0; index < known; ++index) {
        const std::uint32_t mask = low ? buddy_bit_ << index : buddy_bit_ >> index;
        if ((raw & mask) == 0) {
            return kOrder[index];
        }
    }
    return PageType::kNone;
}

PageType PageTypes::type_of(const PageStruct& page) const {
    if (slab_ && bit(page, *slab_)) {
        return PageType::kSlab;
    }
    if (encoding_ != Encoding::kTopByte) {
        return type_by_bit(page.page_type);
    }
    const std::uint32_t number = page.page_type >> 24;
    if (number < buddy_bit_ || number == 0xff) {
        return PageType::kNone;  // a map count, or its underflow
    }
    constexpr std::array<PageType, 10> kNumbered{
        PageType::kBuddy,        PageType::kOffline, PageType::kTable,    PageType::kGuard,
        PageType::kHugetlb,      PageType::kSlab,    PageType::kZsmalloc, PageType::kUnaccepted,
        PageType::kLargeKmalloc, PageType::kNetPool};
    const std::uint32_t index = number - buddy_bit_;
    return index < kNumbered.size() ? kNumbered[index] : PageType::kOther;
}

}  // namespace jumpback::memory
