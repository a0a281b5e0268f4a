// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel that is checked: its relocate_kernel, the generation whose rules hold for it, and what
// its symbols say about the code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/kimage/load_rules.h"
#include "model/relocate/frame.h"
#include "model/relocate/generation.h"
#include "model/result.h"
#include "vm/unicorn/relocate_code.h"
#include "vm/vmlinux.h"

namespace jumpback::relocate_check {

// A symbol inside the blob that is copied to the control page.
struct CodeSymbol {
    std::string name;
    std::uint64_t offset = 0;  // from the blob's first byte
};

struct Target {
    unicorn::RelocateCode code;
    relocate::Generation generation;  // as the table has it, but for what the code itself shows
    const kimage::LoadRules* rules = nullptr;
    std::string note;                 // empty, or that another version's rules are used
    std::vector<CodeSymbol> symbols;  // by offset
    std::uint64_t code_bytes = 0;     // instructions end here; data or filling follows

    // Errors name the file and what is missing of it.
    static Result<Target> open(const std::string& vmlinux);
    static Result<Target> from(const Vmlinux& vmlinux);

    // "swap_pages+0x1c"
    [[nodiscard]] std::string name_at(std::uint64_t offset) const;
    [[nodiscard]] std::optional<std::uint64_t> offset_of(std::string_view symbol) const;
    [[nodiscard]] std::uint64_t link_address(std::uint64_t offset) const {
        return code.begin.raw + offset;
    }

    // What stands in the control page, wherever that is: spans relative to it, no addresses.
    [[nodiscard]] relocate::Places places_in_control_page() const;
    // Offsets of the debug GDT and IDT in the control page, and their limits.
    struct DebugTable {
        std::uint64_t offset = 0;
        std::uint16_t limit = 0;
    };
    [[nodiscard]] std::optional<DebugTable> debug_gdt() const;
    [[nodiscard]] std::optional<DebugTable> debug_idt() const;
};

}  // namespace jumpback::relocate_check
