// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/frame_judge.h"

#include <algorithm>
#include <cstring>

#include "model/memory/text.h"

namespace jumpback::relocate {
namespace {

using memory::PageDifference;

constexpr std::uint64_t kWords = kPageSize / sizeof(std::uint64_t);
constexpr std::size_t kShown = 16;  // bytes shown of each side of a difference

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

}  // namespace

Status check_allowances(std::span<const Allowance> allowed) {
    for (const Allowance& allowance : allowed) {
        if (allowance.length.raw > kPageSize - allowance.from.raw % kPageSize) {
            return Error{"allowance " + std::string(name_of(allowance.rule)) + " at " +
                             memory::hex(allowance.from.raw),
                         "crosses a page"};
        }
    }
    return success();
}

FrameJudge::FrameJudge(std::span<const Allowance> allowed, std::size_t limit, FrameComparison& out)
    : allowed_(allowed), limit_(limit), out_(out) {
    for (const Allowance& allowance : allowed) {
        special_.push_back(pfn_of(allowance.from).raw);
    }
    std::sort(special_.begin(), special_.end());
    special_.erase(std::unique(special_.begin(), special_.end()), special_.end());
}

void FrameJudge::region(Gpa gpa, const std::byte* expected, const std::byte* found,
                        std::uint64_t length) {
    std::uint64_t at = 0;
    auto next = std::lower_bound(special_.begin(), special_.end(), pfn_of(gpa).raw);
    while (at < length) {
        if (next != special_.end() && *next == pfn_of(gpa).raw + (at >> kPageShift)) {
            ++next;
            page(Gpa{gpa.raw + at}, expected + at, found + at);
            at += kPageSize;
            continue;
        }
        std::uint64_t end = length;
        if (next != special_.end() && gpa_of(Pfn{*next}).raw - gpa.raw < length) {
            end = gpa_of(Pfn{*next}).raw - gpa.raw;
        }
        run(Gpa{gpa.raw + at}, expected + at, found + at, end - at);
        at = end;
    }
}

void FrameJudge::run(Gpa gpa, const std::byte* expected, const std::byte* found,
                     std::uint64_t length) {
    // So much is looked at once more, page by page, where something differs.
    constexpr std::uint64_t kChunk = 64 * kPageSize;
    for (std::uint64_t at = 0; at < length; at += kChunk) {
        const std::uint64_t size = std::min(kChunk, length - at);
        if (std::memcmp(expected + at, found + at, size) == 0) {
            equal_pages(size >> kPageShift);
            continue;
        }
        for (std::uint64_t one = at; one < at + size; one += kPageSize) {
            page(Gpa{gpa.raw + one}, expected + one, found + one);
        }
    }
}

void FrameJudge::page(Gpa gpa, const std::byte* expected, const std::byte* found) {
    ++out_.compared;
    if (std::memcmp(expected, found, kPageSize) == 0) {
        return;
    }
    Words left;
    Words right;
    std::memcpy(left.data(), expected, kPageSize);
    std::memcpy(right.data(), found, kPageSize);
    if (std::binary_search(special_.begin(), special_.end(), pfn_of(gpa).raw)) {
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
void FrameJudge::excuse(Gpa gpa, const Words& left, Words& right) {
    std::array<bool, kRules> helped{};
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
                helped[static_cast<unsigned>(allowance.rule)] = true;
            }
        }
    }
    for (unsigned rule = 0; rule < kRules; ++rule) {
        out_.rule_pages[rule] += helped[rule] ? 1 : 0;
        out_.used[rule] |= helped[rule];
    }
}

}  // namespace jumpback::relocate
