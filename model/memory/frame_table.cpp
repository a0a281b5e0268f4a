// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/frame_table.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

// Low bits of section_mem_map (include/linux/mmzone.h); below the mask's end are flags only: five
// or six of them so far, and every encoded map address is aligned to more than 64 bytes.
constexpr std::uint64_t kSectionHasMemMap = 1 << 1;
constexpr std::uint64_t kSectionMapMask = ~std::uint64_t{0x3f};
constexpr std::uint64_t kSubsectionPages = 512;  // 2 MiB

// Guards against a lying guest: MAX_PHYSMEM_BITS is at most 52, sections are at least 16 MiB.
constexpr std::uint64_t kMaxSections = std::uint64_t{1} << 28;
constexpr std::uint64_t kMaxRoots = std::uint64_t{1} << 20;
constexpr std::uint64_t kMaxPageStruct = 256;

Result<PageLayout> read_layout(const Vmcoreinfo& info, unsigned word_size) {
    PageLayout layout;
    struct Wanted {
        const char* name;
        std::uint64_t* place;
        unsigned width;
    };
    const std::array<Wanted, 7> wanted{{{"page.flags", &layout.flags, word_size},
                                        {"page._refcount", &layout.refcount, 4},
                                        {"page.mapping", &layout.mapping, word_size},
                                        {"page.lru", &layout.lru, 2 * word_size},
                                        {"page._mapcount", &layout.mapcount, 4},
                                        {"page.private", &layout.private_, word_size},
                                        {"page.compound_head", &layout.compound_head, word_size}}};
    const Result<std::uint64_t> size = info.size("page");
    if (!size) {
        return size.error();
    }
    layout.size = *size;
    if (layout.size == 0 || layout.size > kMaxPageStruct || layout.size % 4 != 0) {
        return Error{"vmcoreinfo SIZE(page)",
                     "is " + std::to_string(layout.size) + ", expected a multiple of 4 up to 256"};
    }
    for (const Wanted& field : wanted) {
        Result<std::uint64_t> offset = info.offset(field.name);
        if (!offset && std::string_view(field.name) == "page.compound_head") {
            offset = info.offset("page.compound_info");  // renamed, same place and bit 0
        }
        if (!offset) {
            return offset.error();
        }
        if (*offset > layout.size || layout.size - *offset < field.width) {
            return Error{std::string("vmcoreinfo OFFSET(") + field.name + ")",
                         "is " + std::to_string(*offset) + ", outside the struct of " +
                             std::to_string(layout.size) + " bytes"};
        }
        *field.place = *offset;
    }
    return layout;
}

}  // namespace

Result<FrameTable> FrameTable::create(const KernelMemory& memory, const Vmcoreinfo& info) {
    const Result<PageLayout> layout = read_layout(info, memory.word_size());
    if (!layout) {
        return layout.error();
    }
    FrameTable table(memory, *layout);
    const Status status =
        info.symbol("mem_section") ? table.add_sections(info) : table.add_flat(info);
    if (!status) {
        return status.error();
    }
    if (table.spans_.empty()) {
        return Error{"frame table",
                     "no section has a memory map: the capture was taken too early, "
                     "or is not of this kernel"};
    }
    return table;
}

Status FrameTable::add_flat(const Vmcoreinfo& info) {
    const std::optional<Gva> variable = info.symbol("mem_map");
    if (!variable) {
        return Error{"vmcoreinfo",
                     "has neither SYMBOL(mem_section) nor SYMBOL(mem_map): memory "
                     "model not known"};
    }
    const Result<std::uint64_t> array = memory_->word(*variable);
    if (!array) {
        return Error{"variable mem_map", array.error().message()};
    }
    const Result<std::uint64_t> frames = memory_->word_at_symbol("max_mapnr");
    if (!frames) {
        return frames.error();
    }
    if (*array == 0 || *frames == 0 || *frames > std::uint64_t{1} << 24) {
        return Error{"variables mem_map and max_mapnr",
                     "are " + hex(*array) + " and " + hex(*frames) + ": not a FLATMEM frame table"};
    }
    spans_.push_back({Pfn{0}, *frames, Gva{*array}, std::nullopt});
    return success();
}

// mem_section is an array of roots, each an array of as many sections as fit a page
// (SPARSEMEM_EXTREME), or an array of sections (SPARSEMEM_STATIC): LENGTH(mem_section) tells which.
Status FrameTable::add_sections(const Vmcoreinfo& info) {
    const std::uint64_t table = info.symbol("mem_section")->raw;
    const Result<std::uint64_t> size = info.size("mem_section");
    const Result<std::uint64_t> roots = info.length("mem_section");
    const std::optional<std::int64_t> section_bits = info.number("SECTION_SIZE_BITS");
    const std::optional<std::int64_t> physical_bits = info.number("MAX_PHYSMEM_BITS");
    if (!size || !roots || !section_bits || !physical_bits) {
        return Error{"vmcoreinfo",
                     "SIZE(mem_section), LENGTH(mem_section), "
                     "NUMBER(SECTION_SIZE_BITS) or NUMBER(MAX_PHYSMEM_BITS) is missing"};
    }
    if (*section_bits < 24 || *section_bits > 40 || *physical_bits < *section_bits ||
        *physical_bits > 52 || *size < std::uint64_t{2} * memory_->word_size() ||
        *size > kPageSize) {
        return Error{"vmcoreinfo", "section size 2^" + std::to_string(*section_bits) +
                                       ", physical memory 2^" + std::to_string(*physical_bits) +
                                       ", struct mem_section " + std::to_string(*size) +
                                       " bytes: not plausible"};
    }
    const std::uint64_t sections = std::uint64_t{1} << (*physical_bits - *section_bits);
    const std::uint64_t per_page = kPageSize / *size;
    const bool extreme = *roots != sections && *roots == (sections + per_page - 1) / per_page;
    if ((!extreme && *roots != sections) || sections > kMaxSections || *roots > kMaxRoots) {
        return Error{"vmcoreinfo LENGTH(mem_section)",
                     "is " + std::to_string(*roots) + " for " + std::to_string(sections) +
                         " sections, " + std::to_string(per_page) + " to a page"};
    }
    const std::uint64_t per_root = extreme ? per_page : 1;
    const std::uint64_t pfns = std::uint64_t{1} << (*section_bits - kPageShift);
    for (std::uint64_t root = 0; root < *roots; ++root) {
        std::uint64_t first = table + root * *size;
        if (extreme) {
            const Result<std::uint64_t> pointer =
                memory_->word(Gva{table + root * memory_->word_size()});
            if (!pointer) {
                return Error{"mem_section root " + std::to_string(root), pointer.error().message()};
            }
            if (*pointer == 0) {
                continue;
            }
            first = *pointer;
        }
        for (std::uint64_t index = 0; index < per_root; ++index) {
            Status status = add_section(root * per_root + index, Gva{first + index * *size}, pfns);
            if (!status) {
                return status;
            }
        }
    }
    return success();
}

Status FrameTable::add_section(std::uint64_t number, Gva section, std::uint64_t pfns) {
    const Result<std::uint64_t> encoded = memory_->word(section);
    if (!encoded) {
        return Error{"mem_section " + std::to_string(number), encoded.error().message()};
    }
    if ((*encoded & kSectionHasMemMap) == 0) {
        return success();
    }
    // A section without any RAM of this machine can only be hot-plugged device memory, or a lie.
    const std::uint64_t first = number * pfns;
    if (first >= memory_->ram().end_pfn().raw) {
        return success();
    }
    FrameSpan span{Pfn{first}, pfns, Gva{(*encoded & kSectionMapMask) + first * layout_.size},
                   std::nullopt};
    // Only CONFIG_MEMORY_HOTPLUG builds pfn_to_online_page() as a function; it asks the subsection
    // map in struct mem_section_usage. An rcu_head came before that map with 6.8 (and its stable
    // backports); it is zero unless the section is being removed, and the map of a section with
    // memory never is.
    if (pfns / kSubsectionPages == 64 && memory_->find_symbol("pfn_to_online_page")) {
        const Result<std::uint64_t> usage = memory_->word(Gva{section.raw + memory_->word_size()});
        if (usage.ok() && *usage != 0) {
            for (const std::uint64_t at :
                 {*usage, *usage + std::uint64_t{2} * memory_->word_size()}) {
                const Result<std::uint64_t> bits = memory_->word(Gva{at});
                if (bits.ok() && *bits != 0) {
                    span.subsections = *bits;
                    break;
                }
            }
        }
    }
    spans_.push_back(span);
    return success();
}

const FrameSpan* FrameTable::span_of(Pfn pfn) const {
    auto after = std::upper_bound(spans_.begin(), spans_.end(), pfn,
                                  [](Pfn a, const FrameSpan& b) { return a < b.first; });
    if (after == spans_.begin()) {
        return nullptr;
    }
    --after;
    return pfn.raw - after->first.raw < after->count ? &*after : nullptr;
}

bool FrameTable::online(Pfn pfn) const {
    const FrameSpan* span = span_of(pfn);
    if (span == nullptr) {
        return false;
    }
    const std::uint64_t subsection = (pfn.raw - span->first.raw) / kSubsectionPages;
    return !span->subsections || (*span->subsections >> subsection & 1) != 0;
}

Result<PageStruct> FrameTable::page(Pfn pfn) const {
    const FrameSpan* span = span_of(pfn);
    if (span == nullptr) {
        return Error{"page frame " + hex(pfn.raw), "has no struct page"};
    }
    std::array<std::byte, kMaxPageStruct> bytes{};
    const Gva at{span->array.raw + (pfn.raw - span->first.raw) * layout_.size};
    const Status status = memory_->read(at, std::span(bytes).first(layout_.size));
    if (!status) {
        return Error{"struct page of frame " + hex(pfn.raw), status.error().message()};
    }
    const auto number = [&bytes](std::uint64_t offset, unsigned width) {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes.data() + offset, width);
        return value;
    };
    const unsigned word = memory_->word_size();
    return PageStruct{number(layout_.flags, word),
                      number(layout_.mapping, word),
                      number(layout_.private_, word),
                      number(layout_.compound_head, word),
                      number(layout_.lru, word),
                      static_cast<std::uint32_t>(number(layout_.mapcount, 4)),
                      static_cast<std::uint32_t>(number(layout_.refcount, 4))};
}

Result<Pfn> FrameTable::frame_of(Gva address) const {
    for (const FrameSpan& span : spans_) {
        const std::uint64_t inside = address.raw - span.array.raw;
        if (address >= span.array && inside < span.count * layout_.size) {
            if (inside % layout_.size != 0) {
                break;
            }
            return Pfn{span.first.raw + inside / layout_.size};
        }
    }
    return Error{"address " + hex(address.raw), "is no struct page of this kernel"};
}

Pfn FrameTable::end_pfn() const {
    return spans_.empty() ? Pfn{0} : Pfn{spans_.back().first.raw + spans_.back().count};
}

}  // namespace jumpback::memory
