// SPDX-License-Identifier: GPL-2.0-or-later
//
// Virtual to physical from captured page tables, as the processor would do it (Intel SDM volume 3,
// chapter 4). Only presence matters here: no permission is checked. The guest may lie: every table
// must lie in RAM, and the number of steps is bounded by the number of levels.
#pragma once

#include <cstdint>
#include <string_view>

#include "model/address.h"
#include "model/memory/guest_ram.h"
#include "model/result.h"

namespace jumpback::memory {

enum class PagingMode {
    kNone,          // CR0.PG clear: virtual is physical
    kI386,          // two levels, 4 MiB pages where the entry says so (CR4.PSE)
    kI386Pae,       // three levels, 2 MiB pages
    kX86_64Level4,  // 4 KiB, 2 MiB and 1 GiB pages
    kX86_64Level5,
};

std::string_view name_of(PagingMode mode);

// What the control registers say. `efer` bit 10 (LMA) tells long mode.
PagingMode paging_mode(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer);

struct Translation {
    Gpa gpa;          // of the very byte
    Bytes page_size;  // of the page that maps it
};

class PageTables {
  public:
    // `cr3` as in the register: PCID and flag bits are ignored. `ram` is borrowed.
    PageTables(const GuestRam& ram, PagingMode mode, std::uint64_t cr3)
        : ram_(&ram), mode_(mode), cr3_(cr3) {}

    // Fails if the address is not canonical, not mapped, or a table lies outside RAM; the error
    // names the level. The result may lie outside RAM (device memory).
    [[nodiscard]] Result<Translation> translate(Gva gva) const;

    [[nodiscard]] PagingMode mode() const { return mode_; }

  private:
    const GuestRam* ram_;
    PagingMode mode_;
    std::uint64_t cr3_;
};

}  // namespace jumpback::memory
