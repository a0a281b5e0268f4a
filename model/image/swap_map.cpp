// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/swap_map.h"

#include <algorithm>

namespace jumpback::swsusp {
namespace {

std::string map_place(std::size_t index, std::uint64_t page) {
    return cat("swap map page ", index, " at ", disk_offset(page));
}

// Which disk pages have been given out already.
class PageUse {
  public:
    explicit PageUse(std::uint64_t disk_pages) : used_(static_cast<std::size_t>(disk_pages)) {}

    // Empty if `page` may be taken (and takes it), else what is wrong with it.
    std::string take(std::uint64_t page) {
        if (page >= used_.size()) {
            return cat("page ", page, " is outside the disk, expected below ", used_.size());
        }
        const auto index = static_cast<std::size_t>(page);
        if (used_[index]) {
            return cat("page ", page, " is already used, expected each disk page once");
        }
        used_[index] = true;
        return {};
    }

  private:
    std::vector<bool> used_;
};

// Names the earlier use of `page`, so that a cycle is called a cycle.
std::string earlier_use(const SwapMap& map, std::uint64_t page, std::uint64_t header_page) {
    if (page == header_page) {
        return " (it is the swap header page)";
    }
    const auto chain = std::find(map.map_pages.begin(), map.map_pages.end(), page);
    if (chain != map.map_pages.end()) {
        return cat(" (it is swap map page ", chain - map.map_pages.begin(), ")");
    }
    const auto entry = std::find(map.entries.begin(), map.entries.end(), page);
    if (entry != map.entries.end()) {
        return cat(" (it is entry ", entry - map.entries.begin(), ")");
    }
    return {};
}

}  // namespace

std::string SwapMap::place(std::size_t entry) const {
    const std::size_t index = entry / kMapEntries;
    std::string text = cat("entry ", entry);
    if (index < map_pages.size()) {
        text += cat(" (", map_place(index, map_pages[index]), ", slot ", entry % kMapEntries, ")");
    }
    return text;
}

Result<SwapMap> read_swap_map(ByteView disk, std::uint64_t header_page, std::uint64_t first) {
    PageUse use(disk.size() / kPageSize);
    SwapMap map;
    static_cast<void>(use.take(header_page));

    std::string from = "swap header, image";
    for (std::uint64_t page = first; page != 0;) {
        const std::size_t index = map.map_pages.size();
        if (const std::string wrong = use.take(page); !wrong.empty()) {
            return Error{from, cat("swap map chain: ", wrong, earlier_use(map, page, header_page))};
        }
        map.map_pages.push_back(page);
        const ByteView bytes = page_at(disk, page);

        std::size_t slot = 0;
        for (; slot < kMapEntries; ++slot) {
            const auto entry = load<std::uint64_t>(bytes, slot * 8);
            if (entry == 0) {
                break;
            }
            if (const std::string wrong = use.take(entry); !wrong.empty()) {
                return Error{cat(map_place(index, page), ", slot ", slot),
                             wrong + earlier_use(map, entry, header_page)};
            }
            map.entries.push_back(entry);
        }
        for (std::size_t rest = slot; rest <= kMapEntries && slot < kMapEntries; ++rest) {
            if (load<std::uint64_t>(bytes, rest * 8) != 0) {
                return Error{cat(map_place(index, page), ", ",
                                 rest == kMapEntries ? "next_swap" : cat("slot ", rest)),
                             cat("holds ", load<std::uint64_t>(bytes, rest * 8),
                                 ", expected 0 after the list's end at slot ", slot,
                                 " (a map page that was not written, or stale?)")};
            }
        }
        from = map_place(index, page) + ", next_swap";
        page = load<std::uint64_t>(bytes, kMapEntries * 8);
    }
    if (map.entries.empty()) {
        return Error{map_place(0, first),
                     "holds no entries, expected at least the swsusp_info page"};
    }
    return map;
}

}  // namespace jumpback::swsusp
