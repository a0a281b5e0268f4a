// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes page tables into RAM, as init_pgtable and machine_kexec_prepare_page_tables do: every
// entry with its accessed and dirty bits set, so that a run changes no table.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/address.h"
#include "model/memory/writable_ram.h"
#include "model/result.h"

namespace jumpback::unicorn {

enum class Paging {
    kFourLevels,  // x86_64
    kPae,         // i386 with CONFIG_X86_PAE: three levels of 8-byte entries
    kTwoLevels,   // i386
};

struct PageMapping {
    std::uint64_t va = 0;
    Gpa pa;
    bool large = false;  // 2 MiB (kFourLevels and kPae)
    bool writable = true;
    bool operator==(const PageMapping&) const = default;
};

// How many tables, the root among them, hold these mappings.
std::uint64_t tables_needed(Paging paging, std::span<const PageMapping> mappings);

// Clears `tables` and builds the mappings in them; the first one is the root. Error: too few
// tables, or one of them is not RAM.
Status build_tables(const memory::WritableRam& ram, Paging paging,
                    std::span<const PageMapping> mappings, std::span<const Gpa> tables);

}  // namespace jumpback::unicorn
