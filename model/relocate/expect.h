// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the registers must be at the callee's entry (P1) and back in C (P3), by generation. A
// difference that a known defect of the generation explains, and that shows exactly as the table
// says, carries that defect.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/memory/guest_ram.h"
#include "model/relocate/cpu_state.h"
#include "model/relocate/defects.h"
#include "model/relocate/generation.h"

namespace jumpback::relocate {

struct RegisterDifference {
    std::string_view item;  // "cr0", "gdtr.base", "re-entry word", "word above the return address"
    std::uint64_t expected = 0;
    std::uint64_t found = 0;
    const Defect* known = nullptr;      // explains it
    const Defect* resembles = nullptr;  // it looks like this one, which the kernel should not have
};

// How relocate_kernel was called, and where things stand.
struct Entry {
    bool preserve = true;
    std::uint64_t start = 0;  // image->start
    Gpa control_page;         // the page that holds the code
    Bytes code_size;          // code and data in it
    Gpa swap_page;
    std::uint64_t table_root = 0;  // x86_64: CR3 of the kexec tables
    bool has_pae = true;           // i386: as C said
    // Of kernels that have them (Generation::debug_tables).
    DescriptorTable debug_gdt;
    DescriptorTable debug_idt;
};

// P1, from the state at the call (P0). `ram` is read for the words on the stack.
void check_callee_entry(const Generation& generation, const Entry& entry, const CpuState& at_call,
                        const CpuState& found, const memory::GuestRam& ram,
                        std::vector<RegisterDifference>& out);

// How the callee went back.
struct Return {
    CpuState callee;                   // at the return point (P2)
    DescriptorTable saved_gdt;         // saved_context.gdt_desc
    std::uint64_t return_address = 0;  // of the call in C
    // What a correct kernel returns: the entry that the callee asked for, or its old one.
    std::uint64_t reentry = 0;
    // What one without a slot for it returns, if that is something else.
    std::optional<std::uint64_t> reentry_without_slot;
};

// P3, from the state at the call (P0).
void check_return(const Generation& generation, const Return& way, const CpuState& at_call,
                  const CpuState& found, std::vector<RegisterDifference>& out);

}  // namespace jumpback::relocate
