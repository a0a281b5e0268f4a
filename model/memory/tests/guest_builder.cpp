// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/tests/guest_builder.h"

#include <algorithm>
#include <stdexcept>

namespace jumpback::memory::test {
namespace {

constexpr std::uint64_t kPresent = 1, kWritable = 2, kLarge = 1 << 7;
constexpr std::uint64_t kTable = kPresent | kWritable;
constexpr unsigned kOrders = 11;
constexpr unsigned kKinds = 3;

}  // namespace

GuestBuilder::GuestBuilder(BuilderOptions options) : ram(kFrames * kPageSize), options_(options) {
    switch (options.machine) {
        case Machine::kX86_64:
            page_offset_ = 0xffff'8880'0000'0000;
            break;
        case Machine::kX86_64Level5:
            page_offset_ = 0xff11'0000'0000'0000;
            break;
        case Machine::kI386:
        case Machine::kI386Pae:
            page_offset_ = 0xc000'0000;
    }
    build_tables();
    build_frames();
    build_zones();
    const std::uint64_t text = variable("_stext", kPageSize);
    set_flag(text >> kPageShift, kReserved);
    const std::uint64_t nosave = take(kPageSize, kPageSize);
    symbols["__nosave_begin"] = virt(nosave);
    symbols["__nosave_end"] = virt(nosave) + kPageSize;
    lists_[variable("nosave_regions", 16)] = {};
    write_vmcoreinfo();
}

PagingMode GuestBuilder::mode() const {
    switch (options_.machine) {
        case Machine::kX86_64:
            return PagingMode::kX86_64Level4;
        case Machine::kX86_64Level5:
            return PagingMode::kX86_64Level5;
        case Machine::kI386:
            return PagingMode::kI386;
        case Machine::kI386Pae:
            return PagingMode::kI386Pae;
    }
    return PagingMode::kNone;
}

void GuestBuilder::put_word(std::uint64_t physical, std::uint64_t value) {
    std::memcpy(ram.data() + physical, &value, word_size());
}
void GuestBuilder::put_u32(std::uint64_t physical, std::uint32_t value) {
    std::memcpy(ram.data() + physical, &value, sizeof value);
}
std::uint64_t GuestBuilder::get_word(std::uint64_t physical) const {
    std::uint64_t value = 0;
    std::memcpy(&value, ram.data() + physical, word_size());
    return value;
}

std::uint64_t GuestBuilder::take(std::uint64_t bytes, std::uint64_t align) {
    next_ = (next_ + align - 1) / align * align;
    const std::uint64_t at = next_;
    next_ += bytes;
    if (next_ > 0x0040'0000) {
        throw std::runtime_error("the test guest's structures do not fit below 4 MiB");
    }
    return at;
}

std::uint64_t GuestBuilder::variable(const std::string& name, std::uint64_t bytes) {
    const std::uint64_t at = take(bytes, bytes >= kPageSize ? kPageSize : 16);
    symbols[name] = virt(at);
    return at;
}

void GuestBuilder::link(std::uint64_t head, const std::vector<std::uint64_t>& nodes) {
    std::uint64_t previous = head;
    for (const std::uint64_t node : nodes) {
        put_word(previous, virt(node));
        put_word(node + word_size(), virt(previous));
        previous = node;
    }
    put_word(previous, virt(head));
    put_word(head + word_size(), virt(previous));
}

// The direct mapping with large pages is all that these kernels map; frame table and symbols lie in
// it.
void GuestBuilder::build_tables() {
    const auto entry = [this](std::uint64_t table, std::uint64_t index, std::uint64_t value) {
        const std::uint64_t width = options_.machine == Machine::kI386 ? 4 : 8;
        std::memcpy(ram.data() + table + index * width, &value, width);
    };
    std::vector<unsigned> shifts;  // of the levels above the large entries
    std::uint64_t large_size = std::uint64_t{1} << 21;
    std::uint64_t mask = 511;
    switch (options_.machine) {
        case Machine::kX86_64:
            shifts = {39, 30};
            break;
        case Machine::kX86_64Level5:
            shifts = {48, 39, 30};
            break;
        case Machine::kI386Pae:
            shifts = {30};
            break;
        case Machine::kI386:
            large_size = std::uint64_t{1} << 22;
            mask = 1023;
    }
    cr3_ = take(kPageSize, kPageSize);
    symbols[wide() ? "init_top_pgt" : "swapper_pg_dir"] = virt(cr3_);
    std::uint64_t table = cr3_;
    for (const unsigned shift : shifts) {
        const std::uint64_t next = take(kPageSize, kPageSize);
        const std::uint64_t index =
            (page_offset_ >> shift) & (options_.machine == Machine::kI386Pae ? 3 : 511);
        // The PDPT of PAE has no writable bit: reserved.
        entry(table, index, next | (options_.machine == Machine::kI386Pae ? kPresent : kTable));
        table = next;
    }
    const unsigned shift = mask == 1023 ? 22 : 21;
    large_entries_ = table;
    for (std::uint64_t at = 0; at < ram.size(); at += large_size) {
        entry(table, ((page_offset_ + at) >> shift) & mask, at | kTable | kLarge);
    }
}

void GuestBuilder::unmap_large(std::uint64_t physical) {
    const bool narrow = options_.machine == Machine::kI386;
    const unsigned shift = narrow ? 22 : 21;
    const std::uint64_t index = (virt(physical) >> shift) & (narrow ? 1023 : 511);
    std::memset(ram.data() + large_entries_ + index * (narrow ? 4 : 8), 0, narrow ? 4 : 8);
}

void GuestBuilder::build_frames() {
    frames_at_ = take(kFrames * page_size_of_struct(), kPageSize);
    if (!wide()) {
        put_word(variable("mem_map", 8), virt(frames_at_));
        put_word(variable("max_mapnr", 8), kFrames);
    } else {
        section_ = take(kPageSize, kPageSize);  // sections of 128 MiB: one is enough
        roots_ = options_.static_sections ? section_ : take(kPageSize, kPageSize);
        put_word(section_, virt(frames_at_) | 0xf);  // present, has map, online, early
        if (!options_.static_sections) {
            put_word(roots_, virt(section_));
        }
        symbols["mem_section"] = virt(roots_);
    }
    for (std::uint64_t pfn = 0; pfn < kFrames; ++pfn) {
        put_u32(page_struct(pfn) + (wide() ? 48 : 24), 0xffff'ffff);  // _mapcount -1
        set_refcount(pfn, 1);
    }
}

std::uint64_t GuestBuilder::page_struct(std::uint64_t pfn) const {
    return frames_at_ + pfn * page_size_of_struct();
}
void GuestBuilder::set_flag(std::uint64_t pfn, unsigned bit, bool value) {
    const std::uint64_t mask = std::uint64_t{1} << bit;
    const std::uint64_t flags = get_word(page_struct(pfn));
    put_word(page_struct(pfn), value ? flags | mask : flags & ~mask);
}
void GuestBuilder::set_type(std::uint64_t pfn, unsigned index) {
    std::uint32_t value = 0;
    switch (options_.types) {
        case TypeEncoding::kLowBits:
            value = ~(std::uint32_t{0x80} << index);
            break;
        case TypeEncoding::kHighBits:
            value = ~(std::uint32_t{0x4000'0000} >> index);
            break;
        case TypeEncoding::kTopByte:
            value = (0xf0 + index) << 24;
    }
    put_u32(page_struct(pfn) + (wide() ? 48 : 24), value);
}
void GuestBuilder::set_mapping(std::uint64_t pfn, std::uint64_t value) {
    put_word(page_struct(pfn) + 3 * word_size(), value);
}
void GuestBuilder::set_refcount(std::uint64_t pfn, std::uint32_t value) {
    put_u32(page_struct(pfn) + (wide() ? 52 : 28), value);
}
void GuestBuilder::set_tail_of(std::uint64_t pfn, std::uint64_t head) {
    put_word(page_struct(pfn) + lru_offset(), virt(page_struct(head)) + 1);
}

std::uint64_t GuestBuilder::free_list(unsigned zone_index, unsigned order) const {
    return zone(zone_index) + kFreeAreaAt + std::uint64_t{order} * (kKinds * 2 + 1) * word_size();
}

void GuestBuilder::free_block(std::uint64_t pfn, unsigned order) {
    set_type(pfn, 0);
    put_word(page_struct(pfn) + 5 * word_size(), order);  // private
    for (std::uint64_t index = 0; index < std::uint64_t{1} << order; ++index) {
        set_refcount(pfn + index, 0);
    }
    const unsigned zone_index = options_.high_zone && pfn >= kFrames / 2 ? 1 : 0;
    lists_[free_list(zone_index, order)].push_back(page_struct(pfn) + lru_offset());
}

void GuestBuilder::nosave_region(std::uint64_t start, std::uint64_t end) {
    const std::uint64_t at = take(4 * word_size());
    put_word(at + 2 * word_size(), start);
    put_word(at + 3 * word_size(), end);
    lists_[phys(symbols["nosave_regions"])].push_back(at);
}

void GuestBuilder::build_zones() {
    node_ = variable("contig_page_data", 4 * kZoneSize);
    const unsigned zones = options_.high_zone ? 2 : 1;
    put_u32(node_ + 3 * kZoneSize, zones);
    const std::array<std::uint64_t, 3> bounds{1, options_.high_zone ? kFrames / 2 : kFrames,
                                              kFrames};
    for (unsigned index = 0; index < zones; ++index) {
        const std::uint64_t spanned = bounds[index + 1] - bounds[index];
        const std::uint64_t at = zone(index) + kSpannedAt;
        put_word(at - 2 * word_size(), bounds[index]);
        put_word(at, spanned);
        put_word(at + word_size(), spanned);
        const std::uint64_t name = take(16);
        const std::string text = index == 0 ? "Normal" : "HighMem";
        std::memcpy(ram.data() + name, text.c_str(), text.size() + 1);
        put_word(at + 2 * word_size(), virt(name));
        for (unsigned order = 0; order < kOrders; ++order) {
            for (unsigned kind = 0; kind < kKinds; ++kind) {
                lists_[free_list(index, order) + std::uint64_t{kind} * 2 * word_size()] = {};
            }
        }
    }
}

}  // namespace jumpback::memory::test
