// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/page_tables.h"

#include <array>
#include <span>
#include <string>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

constexpr std::uint64_t kPresent = 1;
constexpr std::uint64_t kLarge = 1 << 7;                       // PS bit
constexpr std::uint64_t kAddressMask = 0x000f'ffff'ffff'f000;  // bits 51:12 of 8-byte entries
constexpr std::uint64_t kCr0Paging = std::uint64_t{1} << 31;
constexpr std::uint64_t kCr4Pae = 1 << 5;
constexpr std::uint64_t kCr4La57 = 1 << 12;
constexpr std::uint64_t kEferLongModeActive = 1 << 10;

struct Level {
    std::string_view name;
    unsigned shift;  // of the address bits that index this table
    std::uint64_t index_mask;
    bool may_be_large;  // whether PS in an entry maps a page here
};

constexpr std::array<Level, 5> kLevels64{{{"PML5", 48, 511, false},
                                          {"PML4", 39, 511, false},
                                          {"PDPT", 30, 511, true},
                                          {"page directory", 21, 511, true},
                                          {"page table", 12, 511, false}}};
constexpr std::array<Level, 3> kLevelsPae{
    {{"PDPT", 30, 3, false}, {"page directory", 21, 511, true}, {"page table", 12, 511, false}}};
constexpr std::array<Level, 2> kLevels32{
    {{"page directory", 22, 1023, true}, {"page table", 12, 1023, false}}};

std::span<const Level> levels_of(PagingMode mode) {
    switch (mode) {
        case PagingMode::kNone:
            break;
        case PagingMode::kI386:
            return kLevels32;
        case PagingMode::kI386Pae:
            return kLevelsPae;
        case PagingMode::kX86_64Level4:
            return std::span(kLevels64).subspan(1);
        case PagingMode::kX86_64Level5:
            return kLevels64;
    }
    return {};
}

// Where the top table stands: 4 KiB aligned, but 32-byte aligned with PAE (and below 4 GiB).
std::uint64_t top_table(PagingMode mode, std::uint64_t cr3) {
    if (mode == PagingMode::kI386Pae) {
        return cr3 & 0xffff'ffe0;
    }
    return mode == PagingMode::kI386 ? cr3 & 0xffff'f000 : cr3 & kAddressMask;
}

bool canonical(PagingMode mode, std::uint64_t address) {
    if (mode == PagingMode::kI386 || mode == PagingMode::kI386Pae) {
        return address >> 32 == 0;
    }
    const unsigned bits = mode == PagingMode::kX86_64Level5 ? 57 : 48;
    const auto extended = static_cast<std::uint64_t>(
        static_cast<std::int64_t>(address << (64 - bits)) >> (64 - bits));
    return extended == address;
}

}  // namespace

std::string_view name_of(PagingMode mode) {
    switch (mode) {
        case PagingMode::kNone:
            return "no paging";
        case PagingMode::kI386:
            return "i386";
        case PagingMode::kI386Pae:
            return "i386 PAE";
        case PagingMode::kX86_64Level4:
            return "x86_64, 4 levels";
        case PagingMode::kX86_64Level5:
            return "x86_64, 5 levels";
    }
    return "unknown";
}

PagingMode paging_mode(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer) {
    if ((cr0 & kCr0Paging) == 0) {
        return PagingMode::kNone;
    }
    if ((efer & kEferLongModeActive) != 0) {
        return (cr4 & kCr4La57) != 0 ? PagingMode::kX86_64Level5 : PagingMode::kX86_64Level4;
    }
    return (cr4 & kCr4Pae) != 0 ? PagingMode::kI386Pae : PagingMode::kI386;
}

Result<Translation> PageTables::translate(Gva gva) const {
    if (mode_ == PagingMode::kNone) {
        return Translation{Gpa{gva.raw}, Bytes{kPageSize}};
    }
    if (!canonical(mode_, gva.raw)) {
        return Error{"GVA " + hex(gva.raw),
                     "is not a canonical address (" + std::string(name_of(mode_)) + ")"};
    }
    const bool narrow = mode_ == PagingMode::kI386;
    std::uint64_t table = top_table(mode_, cr3_);
    for (const Level& level : levels_of(mode_)) {
        const std::uint64_t index = (gva.raw >> level.shift) & level.index_mask;
        const Gpa slot{table + index * (narrow ? 4 : 8)};
        std::uint64_t entry = 0;
        const Status status =
            ram_->read(slot, std::as_writable_bytes(std::span(&entry, 1)).first(narrow ? 4 : 8));
        if (!status) {
            return Error{"GVA " + hex(gva.raw), std::string(level.name) + " entry at GPA " +
                                                    hex(slot.raw) + " is not in RAM (CR3 " +
                                                    hex(cr3_) + ")"};
        }
        if ((entry & kPresent) == 0) {
            return Error{"GVA " + hex(gva.raw), "is not mapped: " + std::string(level.name) +
                                                    " entry at GPA " + hex(slot.raw) + " is " +
                                                    hex(entry)};
        }
        const bool large = level.may_be_large && (entry & kLarge) != 0;
        if (large || level.shift == kPageShift) {
            const std::uint64_t size = std::uint64_t{1} << level.shift;
            std::uint64_t base = entry & kAddressMask & ~(size - 1);
            if (narrow && large) {
                // PSE-36: bits 20:13 of the entry are physical address bits 39:32.
                base = (entry & 0xffc0'0000) | ((entry >> 13 & 0xff) << 32);
            }
            return Translation{Gpa{base + (gva.raw & (size - 1))}, Bytes{size}};
        }
        table = entry & kAddressMask;
    }
    return Error{"GVA " + hex(gva.raw), "no level of the page tables maps a page"};
}

}  // namespace jumpback::memory
