// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/zones.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

constexpr std::uint64_t kMaxZones = 8;     // of one node; __MAX_NR_ZONES is at most 6
constexpr std::uint64_t kMaxNodes = 1024;  // MAX_NUMNODES
constexpr std::uint64_t kMaxOrders = 32;
constexpr std::uint64_t kMaxTypes = 16;  // MIGRATE_TYPES is at most 6
constexpr std::array<std::string_view, 6> kZoneNames{"DMA",     "DMA32",   "Normal",
                                                     "HighMem", "Movable", "Device"};

// Addresses of all struct pglist_data: contig_page_data, or with CONFIG_NUMA the array node_data.
Result<std::vector<Gva>> node_addresses(const KernelMemory& memory, const Vmcoreinfo& info) {
    if (const std::optional<Gva> only = info.symbol("contig_page_data")) {
        return std::vector<Gva>{*only};
    }
    const std::optional<Gva> array = info.symbol("node_data");
    const Result<std::uint64_t> length = info.length("node_data");
    if (!array || !length) {
        return Error{"vmcoreinfo",
                     "has neither SYMBOL(contig_page_data) nor SYMBOL(node_data) "
                     "with its length: nodes of memory not found"};
    }
    std::vector<Gva> nodes;
    for (std::uint64_t index = 0; index < std::min(*length, kMaxNodes); ++index) {
        const Result<std::uint64_t> node =
            memory.word(Gva{array->raw + index * memory.word_size()});
        if (!node) {
            return Error{"node_data entry " + std::to_string(index), node.error().message()};
        }
        if (*node != 0) {
            nodes.emplace_back(*node);
        }
    }
    return nodes;
}

// zone->name follows present_pages, after up to two counters that depend on the configuration.
std::string zone_name(const KernelMemory& memory, Gva present_pages) {
    for (unsigned index = 1; index <= 3; ++index) {
        const Result<std::uint64_t> pointer =
            memory.word(Gva{present_pages.raw + std::uint64_t{index} * memory.word_size()});
        if (!pointer || *pointer == 0) {
            continue;
        }
        const std::optional<std::string> text = memory.text(Gva{*pointer}, 16);
        if (text && std::find(kZoneNames.begin(), kZoneNames.end(), *text) != kZoneNames.end()) {
            return *text;
        }
    }
    return {};
}

// One list of one free area. `seen` bounds it: a node that comes a second time ends in an error.
class FreeListReader {
  public:
    FreeListReader(const KernelMemory& memory, const FrameTable& frames, const PageTypes& types,
                   std::vector<std::uint8_t>& free, Oddities& oddities)
        : memory_(memory), frames_(frames), types_(types), free_(free), oddities_(oddities) {}

    Status read(const Zone& zone, Gva head, std::uint64_t order) {
        const std::string where =
            "free list of zone " + zone.name + ", order " + std::to_string(order);
        Result<std::uint64_t> next = memory_.word(head);
        while (next && *next != head.raw) {
            const Result<Pfn> pfn = frames_.frame_of(Gva{*next - frames_.layout().lru});
            if (!pfn) {
                return Error{where, "entry at " + hex(*next) + ": " + pfn.error().message()};
            }
            Status status = block(where, zone, *pfn, order);
            if (!status) {
                return status;
            }
            next = memory_.word(Gva{*next});
        }
        if (!next) {
            return Error{where, next.error().message()};
        }
        return success();
    }

  private:
    Status block(const std::string& where, const Zone& zone, Pfn first, std::uint64_t order) {
        const std::uint64_t count = std::uint64_t{1} << order;
        if (first.raw < zone.start.raw || first.raw + count > zone.end().raw) {
            return Error{where, "block at frame " + hex(first.raw) + " is not in the zone"};
        }
        const Result<PageStruct> page = frames_.page(first);
        if (!page) {
            return Error{where, page.error().message()};
        }
        if (types_.type_of(*page) != PageType::kBuddy || page->private_ != order) {
            oddities_.add(first, where + ": its struct page says type " + hex(page->page_type) +
                                     ", order " + hex(page->private_) +
                                     ", not a free block of this order");
        }
        for (std::uint64_t pfn = first.raw; pfn < first.raw + count; ++pfn) {
            if (pfn >= free_.size() || free_[pfn] != 0) {
                return Error{where, "frame " + hex(pfn) +
                                        " is on a free list twice, or is none: "
                                        "the list runs in a circle or is overwritten"};
            }
            free_[pfn] = 1;
        }
        return success();
    }

    const KernelMemory& memory_;
    const FrameTable& frames_;
    const PageTypes& types_;
    std::vector<std::uint8_t>& free_;
    Oddities& oddities_;
};

}  // namespace

Result<std::vector<Zone>> populated_zones(const KernelMemory& memory, const Vmcoreinfo& info) {
    const Result<std::vector<Gva>> nodes = node_addresses(memory, info);
    if (!nodes) {
        return nodes.error();
    }
    const Result<std::uint64_t> zones_at = info.offset("pglist_data.node_zones");
    const Result<std::uint64_t> count_at = info.offset("pglist_data.nr_zones");
    const Result<std::uint64_t> size = info.size("zone");
    const Result<std::uint64_t> spanned_at = info.offset("zone.spanned_pages");
    for (const auto* needed : {&zones_at, &count_at, &size, &spanned_at}) {
        if (!*needed) {
            return needed->error();
        }
    }
    const std::uint64_t word = memory.word_size();
    if (*spanned_at < 2 * word || *spanned_at + 2 * word > *size) {
        return Error{"vmcoreinfo OFFSET(zone.spanned_pages)",
                     "is " + std::to_string(*spanned_at) + ", outside struct zone"};
    }
    std::vector<Zone> zones;
    for (const Gva node : *nodes) {
        const Result<std::uint32_t> count = memory.u32(Gva{node.raw + *count_at});
        if (!count) {
            return Error{"pglist_data.nr_zones", count.error().message()};
        }
        if (*count > kMaxZones) {
            return Error{
                "pglist_data.nr_zones",
                "is " + std::to_string(*count) + ", expected at most " + std::to_string(kMaxZones)};
        }
        for (std::uint64_t index = 0; index < *count; ++index) {
            Zone zone;
            zone.address = Gva{node.raw + *zones_at + index * *size};
            // struct zone: zone_start_pfn, managed_pages, spanned_pages, present_pages, one word
            // each.
            const std::uint64_t spanned_field = zone.address.raw + *spanned_at;
            const Result<std::uint64_t> start = memory.word(Gva{spanned_field - 2 * word});
            const Result<std::uint64_t> spanned = memory.word(Gva{spanned_field});
            const Result<std::uint64_t> present = memory.word(Gva{spanned_field + word});
            for (const auto* field : {&start, &spanned, &present}) {
                if (!*field) {
                    return Error{"zone " + std::to_string(index), field->error().message()};
                }
            }
            if (*present == 0) {
                continue;
            }
            zone.start = Pfn{*start};
            zone.spanned = *spanned;
            zone.present = *present;
            zone.name = zone_name(memory, Gva{spanned_field + word});
            if (zone.name.empty()) {
                return Error{"zone " + std::to_string(index),
                             "its name is not where struct zone has it"};
            }
            zone.high_ = zone.name == "HighMem";
            if (zone.present > zone.spanned || *start + *spanned < *start ||
                zone.end() > memory.ram().end_pfn()) {
                return Error{"zone " + std::to_string(index) + " " + zone.name,
                             "from frame " + hex(*start) + ", " + hex(*spanned) + " spanned, " +
                                 hex(*present) + " present: does not fit this machine's RAM of " +
                                 hex(memory.ram().end_pfn().raw) + " frames"};
            }
            zones.push_back(std::move(zone));
        }
    }
    if (zones.empty()) {
        return Error{"memory zones", "none is populated: capture taken too early, or lying guest"};
    }
    return zones;
}

Result<std::vector<std::uint8_t>> free_frames(const KernelMemory& memory, const Vmcoreinfo& info,
                                              const FrameTable& frames, const PageTypes& types,
                                              const std::vector<Zone>& zones, Pfn end,
                                              Oddities& oddities) {
    const Result<std::uint64_t> areas_at = info.offset("zone.free_area");
    const Result<std::uint64_t> area_size = info.size("free_area");
    const Result<std::uint64_t> lists_at = info.offset("free_area.free_list");
    const Result<std::uint64_t> orders = info.length("zone.free_area");
    const Result<std::uint64_t> kinds = info.length("free_area.free_list");
    for (const auto* needed : {&areas_at, &area_size, &lists_at, &orders, &kinds}) {
        if (!*needed) {
            return needed->error();
        }
    }
    if (*orders > kMaxOrders || *kinds > kMaxTypes) {
        return Error{"vmcoreinfo", "free lists of " + std::to_string(*orders) + " orders and " +
                                       std::to_string(*kinds) + " kinds: not plausible"};
    }
    std::vector<std::uint8_t> free(end.raw, 0);
    FreeListReader reader(memory, frames, types, free, oddities);
    for (const Zone& zone : zones) {
        for (std::uint64_t order = 0; order < *orders; ++order) {
            for (std::uint64_t kind = 0; kind < *kinds; ++kind) {
                const std::uint64_t head = zone.address.raw + *areas_at + order * *area_size +
                                           *lists_at + kind * 2 * memory.word_size();
                const Status status = reader.read(zone, Gva{head}, order);
                if (!status) {
                    return status.error();
                }
            }
        }
    }
    return free;
}

}  // namespace jumpback::memory
