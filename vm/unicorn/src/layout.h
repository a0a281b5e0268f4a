// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where everything stands on a board: frames of RAM, the kernel's virtual addresses of them, and
// what both sets of page tables map.
#pragma once

#include <cstdint>
#include <vector>

#include "model/result.h"
#include "vm/unicorn/relocate_machine.h"
#include "vm/unicorn/src/page_table_builder.h"

namespace jumpback::unicorn {

struct Layout {
    Board board;
    std::uint64_t ram_bytes = 0;  // size of the buffer that Board::ram points into

    Paging paging = Paging::kFourLevels;
    std::vector<PageMapping> kernel;  // in Board::kernel_tables
    std::vector<PageMapping> kexec;   // in Board::table_pages

    // Frames of Board::kernel_image by use.
    Gpa text_page;        // kX86_64PageList: the page that relocate_kernel was linked to
    Gpa descriptor_page;  // holds RelocateCode::gdt_descriptor
    Gpa caller_page;      // what machine_kexec's return address points into
    Gpa gdt_page;         // the boot CPU's GDT

    std::uint64_t control_va = 0;  // __va(control page)
    std::uint64_t stack_va = 0;
    std::uint64_t gdt_va = 0;
    std::uint64_t return_va = 0;  // where relocate_kernel returns to

    // Guest physical address behind a virtual one that either set of tables maps; what is not
    // mapped in kernel space stands for itself (the identity map; paging off on i386).
    [[nodiscard]] Gpa to_gpa(std::uint64_t va) const;
};

// Limit of the boot CPU's GDT (GDT_SIZE - 1): 16 entries on x86_64, 32 on i386.
constexpr std::uint16_t gdt_limit(Arch arch) {
    return arch == Arch::x86_64 ? 16 * 8 - 1 : 32 * 8 - 1;
}

// Error: no such variant, or more arena pages than the board has room for.
Result<Layout> make_layout(const RelocateCode& code, unsigned variant, std::uint64_t arena_pages);

}  // namespace jumpback::unicorn
