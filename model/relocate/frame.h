// SPDX-License-Identifier: GPL-2.0-or-later
//
// The frame condition of a jump: which bytes of memory may differ from "P0 with its pages moved" at
// the callee's entry (P1), and from "P2 with its pages moved" at the return to C (P3). Exactly the
// bytes named here, each with its reason, and nothing else. The stops:
//
//   P0  first instruction of relocate_kernel      P1  callee's entry
//   P2  return point (jump-back entry)            P3  back in C, behind the call
//
// An allowance is a mask over bits, so that page tables may differ in what the processor sets and
// in nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/memory/compare.h"
#include "model/memory/guest_ram.h"
#include "model/relocate/generation.h"
#include "model/result.h"

namespace jumpback::relocate {

enum class Leg : std::uint8_t { kThere, kBack };  // P0 to P1, P2 to P3

enum class Rule : std::uint8_t {
    kSwapPage,      // scratch of the copies
    kCalleeStack,   // words that the call and the callee push at the top of the swap page
    kSavedWords,    // registers and addresses kept for the way back
    kControlStack,  // the rest of the control page
    kTableBits,     // accessed and dirty bits
    kDebugGdt,      // accessed bits of the control page's own segment descriptors
    kCallerStack,   // below the stack pointer of the call
};
inline constexpr unsigned kRules = 7;
std::string_view name_of(Rule rule);
std::string_view reason_of(Rule rule);

// Where the things stand that relocate_kernel may write. Guest physical, bytes.
struct Places {
    Gpa control_page;  // the page that holds the code
    Bytes code_size;   // of it, from its start: code and data as machine_kexec put them
    struct Span {      // a stretch of the control page
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    std::vector<Span> saved_words;
    Span debug_gdt;  // length 0: none
    Gpa swap_page;
    std::vector<Gpa> table_pages;  // every page table that the run walks, the kernel's own too
    Gpa caller_stack_page;
    std::uint64_t caller_stack_used = 0;  // offset in it of the stack pointer at the call
};

struct Allowance {
    Rule rule = Rule::kSwapPage;
    Gpa from;
    Bytes length;
    // Of each aligned 64-bit little-endian word that the stretch covers: bits that may differ.
    std::uint64_t mask = ~std::uint64_t{0};
};

// What the run does, as far as the frame depends on it.
struct Passage {
    Leg leg = Leg::kThere;
    bool preserve = true;
    bool moves_pages = true;  // the list has at least one SOURCE
};

std::vector<Allowance> allowances(const Generation& generation, const Places& places,
                                  const Passage& passage);

struct FrameComparison {
    std::uint64_t compared = 0;                       // pages
    std::uint64_t different = 0;                      // pages with a difference that nothing allows
    std::vector<memory::PageDifference> differences;  // the first `limit` of them, by address
    std::array<bool, kRules> used{};                  // rules that excused something
    std::array<std::uint64_t, kRules> rule_pages{};   // in how many pages
    std::vector<Gpa> excused;                         // pages that differ as allowed
};

// All of RAM, byte for byte. Both views must have the same regions, or it is an error.
Result<FrameComparison> compare_frame(const memory::GuestRam& expected,
                                      const memory::GuestRam& found,
                                      std::span<const Allowance> allowed, std::size_t limit);

}  // namespace jumpback::relocate
