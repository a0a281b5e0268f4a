// SPDX-License-Identifier: GPL-2.0-or-later
//
// What relocate_kernel does in each supported kernel, as data: one row a version, and one table of
// the changes between the rows with the commit that made each. Everything that judges a kernel by
// its version asks here.
//
// Sources: arch/x86/kernel/relocate_kernel_{32,64}.S and machine_kexec_{32,64}.c of the versions
// named in the rows.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/kimage/entry.h"
#include "model/result.h"

namespace jumpback::relocate {

enum class Isa : std::uint8_t { kX86_64, kI386 };
std::string_view to_string(Isa isa);
constexpr kimage::Word word_of(Isa isa) {
    return isa == Isa::kX86_64 ? kimage::Word::k64 : kimage::Word::k32;
}

// How C calls relocate_kernel.
enum class Abi : std::uint8_t {
    kPageList,  // x86_64 before 6.14: head, page_list, start, preserve, memory encryption
    kFlags,     // x86_64 from 6.14 on: head, PA of the control page, start, flags
    kI386,      // on the stack: head, page_list, start, has_pae, preserve
};

// MAJOR.MINOR of a release string; what follows does not matter.
struct Version {
    unsigned major = 0;
    unsigned minor = 0;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a rewritten "<"
    auto operator<=>(const Version&) const = default;
};
std::string to_string(Version version);
// "6.1.192-jumpback" -> 6.1. Error: it does not start with two numbers.
Result<Version> parse_version(std::string_view release);

// What differs between versions; an index into the changes below.
enum class Fact : std::uint8_t {
    kAbi,
    kPlainSwaps,
    kGdtReloaded,
    kReentrySlot,
    kCopiedAtLoad,
    kControlPages,
    kSavedWords,
    kInvalidatesTables,
    kDebugTables,
    kCetCleared,
    kGlobalPagesOff,
};
inline constexpr unsigned kFacts = 11;
std::string_view to_string(Fact fact);

// Where relocate_kernel keeps CR0, CR3, CR4, the stack pointer and what it needs to come back.
enum class SavedWords : std::uint8_t {
    kAt0x800,      // in the control page, from KEXEC_CONTROL_CODE_MAX_SIZE (2048) on
    kDataSection,  // in .data..relocate_kernel, copied to the control page behind the code
};

struct Generation {
    Isa isa = Isa::kX86_64;
    Version version;  // the row's
    Version release;  // of the kernel that is judged by this row, which defects depend on
    Abi abi = Abi::kPageList;
    bool plain_swaps = false;   // a plain kexec swaps pages as a jump does; false: one copy a page
    bool gdt_reloaded = false;  // GDTR = saved_context's before the return to C
    bool reentry_slot = false;  // the callee's own entry stands above its return address
    bool copied_at_load = false;  // code gets into the control page at load, else before the call
    unsigned control_pages = 1;   // pages of the control allocation; the last one holds the code
    SavedWords saved_words = SavedWords::kAt0x800;
    bool invalidates_tables = false;  // lgdt and lidt of nothing inside; else C has done it
    bool debug_tables = false;        // GDT and IDT of its own in the control page, for the callee
    bool cet_cleared = false;         // CR4.CET goes before CR0.WP
    bool global_pages_off = false;    // CR4.PGE goes right after CR3 is switched

    // The callee runs in long mode on identity-mapped tables (x86_64) or with paging off (i386).
    [[nodiscard]] bool paging_off() const { return isa == Isa::kI386; }
    // Words on the callee's stack at its entry: the return address and, with a slot, its entry.
    [[nodiscard]] unsigned callee_stack_words() const { return reentry_slot ? 2 : 1; }
    [[nodiscard]] kimage::Word word() const { return word_of(isa); }

    // Control registers at the callee's entry, from those at the call. MCE stays on in TDX guests
    // only, which no bare CPU is.
    [[nodiscard]] std::uint64_t callee_cr0(std::uint64_t at_call) const;
    [[nodiscard]] std::uint64_t callee_cr4(std::uint64_t at_call, bool has_pae) const;
};

// All rows, by architecture, then version.
std::span<const Generation> generations();

// Why two neighbouring rows differ.
struct Change {
    Fact fact = Fact::kAbi;
    Isa isa = Isa::kX86_64;
    Version since;            // first release known to have it
    std::string_view commit;  // empty: not known to this project
    std::string_view what;
};
std::span<const Change> changes();

// The value of a fact as text, for tables and for the test that rows and changes agree.
std::string value_text(const Generation& generation, Fact fact);

struct FoundGeneration {
    const Generation* generation = nullptr;
    std::string note;  // empty, or why another version's row is used
};
// The row for a release string. A release between rows gets the row below it, one before the first
// row the first; `abi`, what the code itself shows, excludes rows that call it otherwise. The note
// says so. Errors: not a release string; no row has that `abi`.
Result<FoundGeneration> find_generation(std::string_view release, Isa isa,
                                        std::optional<Abi> abi = std::nullopt);

}  // namespace jumpback::relocate
