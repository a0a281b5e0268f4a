// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/nosave.h"

#include <algorithm>
#include <string>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

constexpr std::size_t kMaxRegions =
    8192;  // a firmware memory map has a few hundred entries at most

}  // namespace

bool NosaveFrames::in_region(Pfn pfn) const {
    return std::any_of(regions.begin(), regions.end(),
                       [pfn](const FrameRange& range) { return range.contains(pfn); });
}

// struct nosave_region: list_head, start_pfn, end_pfn.
Result<NosaveFrames> read_nosave(const KernelMemory& memory) {
    NosaveFrames out;
    const std::uint64_t word = memory.word_size();
    const Result<Gva> head = memory.symbol("nosave_regions");
    if (!head) {
        return head.error();
    }
    Result<std::uint64_t> next = memory.word(*head);
    while (next && *next != head->raw) {
        const Result<std::uint64_t> start = memory.word(Gva{*next + 2 * word});
        const Result<std::uint64_t> end = memory.word(Gva{*next + 3 * word});
        if (!start || !end) {
            return Error{"nosave_regions", (start ? end : start).error().message()};
        }
        if (*start >= *end || out.regions.size() == kMaxRegions) {
            return Error{"nosave_regions", "entry " + std::to_string(out.regions.size()) +
                                               " covers frames " + hex(*start) + " to " +
                                               hex(*end) +
                                               ": the list is overwritten or runs in a circle"};
        }
        out.regions.push_back({Pfn{*start}, Pfn{*end}});
        next = memory.word(Gva{*next});
    }
    if (!next) {
        return Error{"nosave_regions", next.error().message()};
    }
    const Result<Gva> begin = memory.symbol("__nosave_begin");
    const Result<Gva> end = memory.symbol("__nosave_end");
    if (!begin || !end) {
        return (begin ? end : begin).error();
    }
    const Result<Gpa> begin_gpa = memory.physical(*begin);
    // The end is one past the section's last byte; that address itself need not be mapped.
    const Result<Gpa> last_gpa = memory.physical(Gva{end->raw - 1});
    if (!begin_gpa || !last_gpa) {
        return Error{"nosave section", (begin_gpa ? last_gpa : begin_gpa).error().message()};
    }
    out.section = {pfn_of(*begin_gpa), pfn_of(Gpa{last_gpa->raw + kPageSize})};
    if (begin->raw == end->raw) {
        out.section.end = out.section.start;
    }
    return out;
}

}  // namespace jumpback::memory
