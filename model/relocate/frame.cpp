// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/frame.h"

#include <algorithm>

#include "model/memory/text.h"
#include "model/relocate/cpu_bits.h"
#include "model/relocate/frame_judge.h"

namespace jumpback::relocate {
namespace {

using memory::GuestRam;

constexpr std::uint64_t kControlCodeMax = 2048;  // KEXEC_CONTROL_CODE_MAX_SIZE

}  // namespace

std::string_view name_of(Rule rule) {
    switch (rule) {
        case Rule::kSwapPage:
            return "swap-page";
        case Rule::kCalleeStack:
            return "callee-stack";
        case Rule::kSavedWords:
            return "saved-words";
        case Rule::kControlStack:
            return "control-stack";
        case Rule::kTableBits:
            return "table-bits";
        case Rule::kDebugGdt:
            return "debug-gdt";
        case Rule::kCallerStack:
            return "caller-stack";
    }
    return "?";
}

std::string_view reason_of(Rule rule) {
    switch (rule) {
        case Rule::kSwapPage:
            return "every swap copies the source page here first";
        case Rule::kCalleeStack:
            return "the callee's stack is the top of the swap page: return address, entry, and "
                   "what the callee pushes";
        case Rule::kSavedWords:
            return "the control page keeps registers, tables, swap page and list for the way back";
        case Rule::kControlStack:
            return "relocate_kernel's own stack runs down from the end of the control page";
        case Rule::kTableBits:
            return "the processor sets accessed and dirty bits in page tables";
        case Rule::kDebugGdt:
            return "the processor sets the accessed bit of a segment descriptor that is loaded";
        case Rule::kCallerStack:
            return "registers and flags are pushed below the caller's stack pointer";
    }
    return "?";
}

std::vector<Allowance> allowances(const Generation& generation, const Places& places,
                                  const Passage& passage) {
    std::vector<Allowance> out;
    const std::uint64_t word = kimage::bytes_of(generation.word());
    const bool there = passage.leg == Leg::kThere;
    const bool swaps = passage.preserve || generation.plain_swaps;
    if (passage.moves_pages && swaps) {
        out.push_back({Rule::kSwapPage, places.swap_page, Bytes{kPageSize}});
    } else if (passage.preserve) {
        // On the way back the callee pops the return address and may push its next entry.
        const std::uint64_t used = there ? generation.callee_stack_words() * word : 2 * word;
        out.push_back(
            {Rule::kCalleeStack, Gpa{places.swap_page.raw + kPageSize - used}, Bytes{used}});
    }
    std::uint64_t stack_from = places.code_size.raw;
    if (generation.saved_words == SavedWords::kAt0x800) {
        stack_from = kControlCodeMax;
        for (const Places::Span& span : places.saved_words) {
            stack_from = std::max(stack_from, span.offset + span.length);
        }
    }
    out.push_back({Rule::kControlStack, Gpa{places.control_page.raw + stack_from},
                   Bytes{kPageSize - stack_from}});
    if (there) {
        for (const Places::Span& span : places.saved_words) {
            out.push_back({Rule::kSavedWords, Gpa{places.control_page.raw + span.offset},
                           Bytes{span.length}});
        }
        if (places.debug_gdt.length != 0) {
            out.push_back({Rule::kDebugGdt, Gpa{places.control_page.raw + places.debug_gdt.offset},
                           Bytes{places.debug_gdt.length}, kDescriptorAccessed});
        }
        out.push_back(
            {Rule::kCallerStack, places.caller_stack_page, Bytes{places.caller_stack_used}});
    }
    const std::uint64_t bits = kPageAccessed | kPageDirty;
    const bool narrow = generation.word() == kimage::Word::k32;
    for (const Gpa table : places.table_pages) {
        out.push_back(
            {Rule::kTableBits, table, Bytes{kPageSize}, narrow ? bits | bits << 32 : bits});
    }
    return out;
}

Result<FrameComparison> compare_frame(const GuestRam& expected, const GuestRam& found,
                                      std::span<const Allowance> allowed, std::size_t limit) {
    const auto same_place = [](const memory::RamRegion& a, const memory::RamRegion& b) {
        return a.gpa == b.gpa && a.length == b.length;
    };
    if (!std::equal(expected.regions().begin(), expected.regions().end(), found.regions().begin(),
                    found.regions().end(), same_place)) {
        return Error{"comparison of two RAM views", "their regions differ"};
    }
    Status sound = check_allowances(allowed);
    if (!sound) {
        return sound.error();
    }
    FrameComparison out;
    FrameJudge judge(allowed, limit, out);
    for (std::size_t at = 0; at < expected.regions().size(); ++at) {
        const memory::RamRegion& region = expected.regions()[at];
        judge.region(region.gpa, expected.bytes_of(region).data(),
                     found.bytes_of(found.regions()[at]).data(), region.length.raw);
    }
    return out;
}

}  // namespace jumpback::relocate
