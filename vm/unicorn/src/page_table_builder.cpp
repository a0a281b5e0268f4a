// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/page_table_builder.h"

#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "vm/text.h"

namespace jumpback::unicorn {

namespace {

// arch/x86/include/asm/pgtable_types.h
constexpr std::uint64_t kPresent = 0x001;
constexpr std::uint64_t kWrite = 0x002;
constexpr std::uint64_t kUser = 0x004;
constexpr std::uint64_t kUsed = 0x060;  // accessed and dirty
constexpr std::uint64_t kLarge = 0x080;
constexpr std::uint64_t kGlobal = 0x100;

struct Format {
    unsigned levels = 0;
    unsigned index_bits = 0;
    std::size_t entry_bytes = 0;
    std::uint64_t table_flags = 0;
};

Format format_of(Paging paging) {
    switch (paging) {
        case Paging::kFourLevels:
            return {4, 9, 8, kPresent | kWrite | kUsed};  // _KERNPG_TABLE
        case Paging::kPae:
            return {3, 9, 8, kPresent | kWrite | kUser | kUsed};  // _PAGE_TABLE
        case Paging::kTwoLevels:
            break;
    }
    return {2, 10, 4, kPresent | kWrite | kUser | kUsed};
}

// Bits below the part of the address that picks an entry at `level` (1: the last one).
unsigned shift_of(const Format& format, unsigned level) {
    return kPageShift + (level - 1) * format.index_bits;
}

unsigned leaf_level(const PageMapping& mapping) { return mapping.large ? 2 : 1; }

class Builder {
  public:
    Builder(const memory::WritableRam& ram, Paging paging, std::span<const Gpa> tables)
        : ram_(ram), paging_(paging), format_(format_of(paging)), tables_(tables) {}

    Status clear() {
        for (const Gpa table : tables_) {
            std::byte* page = ram_.page_or_null(pfn_of(table));
            if (page == nullptr) {
                return Error{"page table", "at " + std::to_string(table.raw) + " is not RAM"};
            }
            std::memset(page, 0, kPageSize);
        }
        return success();
    }

    Status add(const PageMapping& mapping) {
        if (tables_.empty()) {
            return Error{"page tables", "no page for the root"};
        }
        Gpa table = tables_.front();
        for (unsigned level = format_.levels; level > leaf_level(mapping); --level) {
            std::uint64_t entry = get(table, index(mapping.va, level));
            if ((entry & kPresent) == 0) {
                if (used_ == tables_.size()) {
                    return Error{"page tables", "too few pages"};
                }
                // The four entries at the top of PAE tables take the present bit only.
                const bool top_of_pae = paging_ == Paging::kPae && level == 3;
                entry = tables_[used_++].raw | (top_of_pae ? kPresent : format_.table_flags);
                put(table, index(mapping.va, level), entry);
            } else if ((entry & kLarge) != 0 && level > 1) {
                return Error{"page tables", "a large page is mapped where a table for address " +
                                                hex(mapping.va) + " must stand"};
            }
            table = Gpa{entry & ~(kPageSize - 1)};
        }
        std::uint64_t leaf = mapping.pa.raw | kPresent | kUsed | kGlobal;  // PAGE_KERNEL_EXEC
        if (mapping.writable) {
            leaf |= kWrite;
        }
        if (mapping.large) {
            leaf |= kLarge;
        }
        put(table, index(mapping.va, leaf_level(mapping)), leaf);
        return success();
    }

  private:
    [[nodiscard]] std::size_t index(std::uint64_t va, unsigned level) const {
        return (va >> shift_of(format_, level)) & ((std::size_t{1} << format_.index_bits) - 1);
    }
    [[nodiscard]] std::byte* slot(Gpa table, std::size_t entry) const {
        return ram_.page_or_null(pfn_of(table)) + entry * format_.entry_bytes;
    }
    [[nodiscard]] std::uint64_t get(Gpa table, std::size_t entry) const {
        std::uint64_t value = 0;
        std::memcpy(&value, slot(table, entry), format_.entry_bytes);
        return value;
    }
    void put(Gpa table, std::size_t entry, std::uint64_t value) const {
        std::memcpy(slot(table, entry), &value, format_.entry_bytes);
    }

    const memory::WritableRam& ram_;
    Paging paging_;
    Format format_;
    std::span<const Gpa> tables_;
    std::size_t used_ = 1;
};

}  // namespace

std::uint64_t tables_needed(Paging paging, std::span<const PageMapping> mappings) {
    const Format format = format_of(paging);
    // A table below the root is named by its level and the address bits above it.
    std::set<std::pair<unsigned, std::uint64_t>> tables;
    for (const PageMapping& mapping : mappings) {
        for (unsigned level = leaf_level(mapping); level < format.levels; ++level) {
            tables.emplace(level, mapping.va >> shift_of(format, level + 1));
        }
    }
    return 1 + tables.size();
}

Status build_tables(const memory::WritableRam& ram, Paging paging,
                    std::span<const PageMapping> mappings, std::span<const Gpa> tables) {
    Builder builder(ram, paging, tables);
    Status status = builder.clear();
    for (const PageMapping& mapping : mappings) {
        if (!status) {
            return status;
        }
        status = builder.add(mapping);
    }
    return status;
}

}  // namespace jumpback::unicorn
