// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/frame.h"

#include <algorithm>
#include <cstring>

#include "model/memory/text.h"
#include "model/relocate/cpu_bits.h"

namespace jumpback::relocate {
namespace {

using memory::GuestRam;
using memory::PageDifference;

constexpr std::uint64_t kControlCodeMax = 2048;  // KEXEC_CONTROL_CODE_MAX_SIZE
constexpr std::uint64_t kWords = kPageSize / sizeof(std::uint64_t);
constexpr std::size_t kShown = 16;  // bytes shown of each side of a difference

using Words = std::array<std::uint64_t, kWords>;

// Bits that may differ, for the aligned word at `at`: all bits of the bytes inside [from, end).
std::uint64_t bytes_mask(std::uint64_t at, std::uint64_t from, std::uint64_t end) {
    std::uint64_t mask = 0;
    for (std::uint64_t byte = 0; byte < sizeof(std::uint64_t); ++byte) {
        if (at + byte >= from && at + byte < end) {
            mask |= std::uint64_t{0xff} << (8 * byte);
        }
    }
    return mask;
}

std::uint64_t allowed_bits(const Allowance& allowance, std::uint64_t at) {
    const std::uint64_t from = allowance.from.raw;
    return allowance.mask & bytes_mask(at, from, from + allowance.length.raw);
}

// The page that every allowance lies in: none crosses a page.
bool in_page(const Allowance& allowance, Gpa page) {
    return pfn_of(allowance.from) == pfn_of(page);
}

class FrameJudge {
  public:
    FrameJudge(std::span<const Allowance> allowed, std::size_t limit, FrameComparison& out)
        : allowed_(allowed), limit_(limit), out_(out) {
        for (const Allowance& allowance : allowed) {
            special_.push_back(pfn_of(allowance.from).raw);
        }
        std::sort(special_.begin(), special_.end());
        special_.erase(std::unique(special_.begin(), special_.end()), special_.end());
    }

    // Pages of [gpa, gpa + length): runs between special pages at memcmp's speed.
    void region(Gpa gpa, const std::byte* expected, const std::byte* found, std::uint64_t length) {
        std::uint64_t at = 0;
        auto next = std::lower_bound(special_.begin(), special_.end(), pfn_of(gpa).raw);
        while (at < length) {
            const std::uint64_t pfn = pfn_of(gpa).raw + (at >> kPageShift);
            if (next != special_.end() && *next == pfn) {
                ++next;
                page(Gpa{gpa.raw + at}, expected + at, found + at, true);
                at += kPageSize;
                continue;
            }
            std::uint64_t end = length;
            if (next != special_.end() && gpa_of(Pfn{*next}).raw - gpa.raw < length) {
                end = gpa_of(Pfn{*next}).raw - gpa.raw;
            }
            plain_run(gpa, at, end, expected, found);
            at = end;
        }
    }

  private:
    void plain_run(Gpa gpa, std::uint64_t at, std::uint64_t end, const std::byte* expected,
                   const std::byte* found) {
        if (std::memcmp(expected + at, found + at, end - at) == 0) {
            return;
        }
        for (; at < end; at += kPageSize) {
            page(Gpa{gpa.raw + at}, expected + at, found + at, false);
        }
    }

    void page(Gpa gpa, const std::byte* expected, const std::byte* found, bool special) {
        if (std::memcmp(expected, found, kPageSize) == 0) {
            return;
        }
        Words left;
        Words right;
        std::memcpy(left.data(), expected, kPageSize);
        std::memcpy(right.data(), found, kPageSize);
        if (special) {
            excuse(gpa, left, right);
        }
        PageDifference difference{pfn_of(gpa), 0, 0, {}, {}};
        for (std::uint64_t word = 0; word < kWords; ++word) {
            const std::uint64_t bits = left[word] ^ right[word];
            for (std::uint32_t byte = 0; bits != 0 && byte < sizeof bits; ++byte) {
                if ((bits >> (8 * byte) & 0xff) == 0) {
                    continue;
                }
                if (difference.differing == 0) {
                    difference.offset = static_cast<std::uint32_t>(word * sizeof bits) + byte;
                }
                ++difference.differing;
            }
        }
        if (difference.differing == 0) {
            out_.excused.push_back(gpa);
            return;
        }
        ++out_.different;
        if (out_.differences.size() < limit_) {
            const std::size_t shown = std::min<std::size_t>(kShown, kPageSize - difference.offset);
            difference.expected.assign(expected + difference.offset,
                                       expected + difference.offset + shown);
            difference.found.assign(found + difference.offset, found + difference.offset + shown);
            out_.differences.push_back(std::move(difference));
        }
    }

    // Makes allowed differences equal in `right`.
    void excuse(Gpa gpa, const Words& left, Words& right) {
        for (const Allowance& allowance : allowed_) {
            if (!in_page(allowance, gpa)) {
                continue;
            }
            const std::uint64_t first = (allowance.from.raw - gpa.raw) / sizeof(std::uint64_t);
            const std::uint64_t end = allowance.from.raw - gpa.raw + allowance.length.raw;
            for (std::uint64_t word = first; word * sizeof(std::uint64_t) < end; ++word) {
                const std::uint64_t bits = left[word] ^ right[word];
                if (bits == 0) {
                    continue;
                }
                const std::uint64_t excused =
                    bits & allowed_bits(allowance, gpa.raw + word * sizeof(std::uint64_t));
                if (excused != 0) {
                    right[word] ^= excused;
                    out_.used[static_cast<unsigned>(allowance.rule)] = true;
                }
            }
        }
    }

    std::span<const Allowance> allowed_;
    std::size_t limit_;
    FrameComparison& out_;
    std::vector<std::uint64_t> special_;  // page frames with an allowance, sorted
};

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
    for (const Allowance& allowance : allowed) {
        if (allowance.length.raw > kPageSize - allowance.from.raw % kPageSize) {
            return Error{"allowance " + std::string(name_of(allowance.rule)) + " at " +
                             memory::hex(allowance.from.raw),
                         "crosses a page"};
        }
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
