// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/generation.h"

#include <array>
#include <charconv>

#include "model/relocate/cpu_bits.h"

namespace jumpback::relocate {
namespace {

constexpr Generation x86_64_row(Version version) {
    Generation row;
    row.version = version;
    row.release = version;
    row.plain_swaps = true;
    row.control_pages = 2;
    if (version >= Version{6, 1}) {
        row.cet_cleared = true;
    }
    if (version >= Version{6, 12}) {
        row.control_pages = 1;
        row.gdt_reloaded = true;
    }
    if (version >= Version{6, 14}) {
        row.abi = Abi::kFlags;
        row.plain_swaps = false;
        row.reentry_slot = true;
        row.copied_at_load = true;
        row.saved_words = SavedWords::kDataSection;
        row.invalidates_tables = true;
        row.global_pages_off = true;
    }
    if (version >= Version{6, 16}) {
        row.debug_tables = true;
    }
    return row;
}

// relocate_kernel_32.S does the same from 5.10 to 7.3.
constexpr Generation i386_row(Version version) {
    Generation row;
    row.isa = Isa::kI386;
    row.version = version;
    row.release = version;
    row.abi = Abi::kI386;
    row.plain_swaps = true;
    return row;
}

// Releases whose sources were read. 6.18 stands for 6.16 to 6.18 (its assembly alone was read).
constexpr std::array kVersions{Version{5, 10}, Version{6, 1}, Version{6, 12},
                               Version{6, 18}, Version{7, 2}, Version{7, 3}};

constexpr auto kRows = [] {
    std::array<Generation, 2 * kVersions.size()> rows{};
    for (std::size_t at = 0; at < kVersions.size(); ++at) {
        rows[at] = x86_64_row(kVersions[at]);
        rows[kVersions.size() + at] = i386_row(kVersions[at]);
    }
    return rows;
}();

constexpr std::array kChanges{
    Change{Fact::kCetCleared,
           Isa::kX86_64,
           {6, 1},
           "",
           "CR4.CET is cleared first, as CR0.WP cannot be cleared while it is set"},
    Change{Fact::kControlPages,
           Isa::kX86_64,
           {6, 12},
           "",
           "the PGD gets a control page of its own; before, the block was PGD and code"},
    Change{Fact::kGdtReloaded,
           Isa::kX86_64,
           {6, 12},
           "07fa619f2a40",
           "virtual_mapped loads saved_context's GDT (6.13; also in 6.12.y and 6.6.y)"},
    Change{Fact::kAbi,
           Isa::kX86_64,
           {6, 14},
           "b3adabae8a96",
           "page_list goes: four arguments, addresses stand in the control page's data"},
    Change{Fact::kPlainSwaps,
           Isa::kX86_64,
           {6, 14},
           "9e5683e2d0b5",
           "pages are swapped for preserved context only; a plain kexec copies"},
    Change{Fact::kReentrySlot,
           Isa::kX86_64,
           {6, 14},
           "2cacf7f23a02",
           "the callee's entry is pushed above its return address and popped on return"},
    Change{Fact::kGlobalPagesOff,
           Isa::kX86_64,
           {6, 14},
           "d144d8a65286",
           "CR4.PGE goes with CR3: a stale global entry maps the control page read-only"},
    Change{Fact::kCopiedAtLoad,
           Isa::kX86_64,
           {6, 14},
           "",
           "code and data are copied to the control page by machine_kexec_prepare"},
    Change{Fact::kSavedWords,
           Isa::kX86_64,
           {6, 14},
           "",
           "saved words are data of .data..relocate_kernel, no longer fixed offsets"},
    Change{Fact::kInvalidatesTables,
           Isa::kX86_64,
           {6, 14},
           "",
           "the assembly loads the empty GDT and IDT itself"},
    Change{Fact::kDebugTables,
           Isa::kX86_64,
           {6, 16},
           "",
           "a GDT and an IDT in the control page catch exceptions until the callee has its own"},
};

std::string yes_no(bool value) { return value ? "yes" : "no"; }

}  // namespace

std::string_view to_string(Isa isa) { return isa == Isa::kX86_64 ? "x86_64" : "i386"; }

std::string to_string(Version version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor);
}

Result<Version> parse_version(std::string_view release) {
    Version version;
    const char* end = release.data() + release.size();
    const auto major = std::from_chars(release.data(), end, version.major);
    if (major.ec == std::errc{} && major.ptr != end && *major.ptr == '.') {
        if (std::from_chars(major.ptr + 1, end, version.minor).ec == std::errc{}) {
            return version;
        }
    }
    return Error{"kernel release \"" + std::string(release) + "\"",
                 "does not start with MAJOR.MINOR"};
}

std::string_view to_string(Fact fact) {
    switch (fact) {
        case Fact::kAbi:
            return "arguments";
        case Fact::kPlainSwaps:
            return "plain kexec swaps";
        case Fact::kGdtReloaded:
            return "GDT loaded again before the return";
        case Fact::kReentrySlot:
            return "slot for the re-entry word";
        case Fact::kCopiedAtLoad:
            return "code copied at load";
        case Fact::kControlPages:
            return "pages of the control allocation";
        case Fact::kSavedWords:
            return "place of the saved words";
        case Fact::kInvalidatesTables:
            return "GDT and IDT invalidated inside";
        case Fact::kDebugTables:
            return "debug GDT and IDT";
        case Fact::kCetCleared:
            return "CR4.CET cleared";
        case Fact::kGlobalPagesOff:
            return "CR4.PGE cleared with the CR3 switch";
    }
    return "?";
}

std::string value_text(const Generation& generation, Fact fact) {
    switch (fact) {
        case Fact::kAbi:
            return generation.abi == Abi::kPageList ? "page_list"
                   : generation.abi == Abi::kFlags  ? "flags"
                                                    : "stack";
        case Fact::kPlainSwaps:
            return yes_no(generation.plain_swaps);
        case Fact::kGdtReloaded:
            return yes_no(generation.gdt_reloaded);
        case Fact::kReentrySlot:
            return yes_no(generation.reentry_slot);
        case Fact::kCopiedAtLoad:
            return yes_no(generation.copied_at_load);
        case Fact::kControlPages:
            return std::to_string(generation.control_pages);
        case Fact::kSavedWords:
            return generation.saved_words == SavedWords::kAt0x800 ? "at +0x800" : "data section";
        case Fact::kInvalidatesTables:
            return yes_no(generation.invalidates_tables);
        case Fact::kDebugTables:
            return yes_no(generation.debug_tables);
        case Fact::kCetCleared:
            return yes_no(generation.cet_cleared);
        case Fact::kGlobalPagesOff:
            return yes_no(generation.global_pages_off);
    }
    return "?";
}

std::uint64_t Generation::callee_cr0(std::uint64_t at_call) const {
    const std::uint64_t cleared = kCr0Am | kCr0Wp | kCr0Ts | kCr0Em;
    if (isa == Isa::kI386) {
        return (at_call & ~(cleared | kCr0Pg)) | kCr0Pe;
    }
    return (at_call & ~cleared) | kCr0Pg | kCr0Pe;
}

std::uint64_t Generation::callee_cr4(std::uint64_t at_call, bool has_pae) const {
    if (isa == Isa::kI386) {
        return has_pae ? 0 : at_call;
    }
    return kCr4Pae | (at_call & kCr4La57);
}

std::span<const Generation> generations() { return kRows; }
std::span<const Change> changes() { return kChanges; }

Result<FoundGeneration> find_generation(std::string_view release, Isa isa, std::optional<Abi> abi) {
    const Result<Version> version = parse_version(release);
    if (!version) {
        return version.error();
    }
    const Generation* below = nullptr;
    const Generation* above = nullptr;
    for (const Generation& row : kRows) {
        if (row.isa != isa || (abi && row.abi != *abi)) {
            continue;
        }
        if (row.version <= *version) {
            below = &row;
        } else if (above == nullptr) {
            above = &row;
        }
    }
    if (below == nullptr && above == nullptr) {
        return Error{"kernel release \"" + std::string(release) + "\"",
                     "no known " + std::string(to_string(isa)) +
                         " kernel calls relocate_kernel as this code is called"};
    }
    FoundGeneration found{below != nullptr ? below : above, ""};
    if (found.generation->version != *version) {
        found.note = to_string(*version) + " has no row of its own; it is taken for " +
                     to_string(found.generation->version) + ", the nearest " +
                     (below != nullptr ? "older" : "newer") + " one";
        found.note += abi ? " that is called alike" : "";
    }
    return found;
}

}  // namespace jumpback::relocate
