// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/compare.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

constexpr std::array<std::byte, kPageSize> kZeroPage{};
constexpr std::size_t kShown = 16;  // bytes shown of each side of a difference

// Collects the verdict of one page after the other.
class PageJudge {
  public:
    PageJudge(const CompareOptions& options, Comparison& out) : options_(options), out_(out) {
        for (const ExceptionRange& range : options.exceptions) {
            out_.rule_pages.emplace(range.rule, 0);
        }
    }

    void page(Pfn pfn, const std::byte* expected, const std::byte* found) {
        if (std::memcmp(expected, found, kPageSize) == 0) {
            equal_pages(1);
        } else {
            differing_page(pfn, expected, found);
        }
    }

    void equal_pages(std::uint64_t count) {
        out_.compared += count;
        out_.equal += count;
    }

  private:
    // Rare: only pages with a difference get here, so clarity goes before speed.
    void differing_page(Pfn pfn, const std::byte* expected, const std::byte* found) {
        const Gpa base = gpa_of(pfn);
        std::vector<const ExceptionRange*> ranges;
        for (const ExceptionRange& range : options_.exceptions) {
            const bool begins_before_end = range.gpa.raw < base.raw + kPageSize;
            const bool ends_after_begin =
                range.gpa >= base || base.raw - range.gpa.raw < range.length.raw;
            if (range.length.raw != 0 && begins_before_end && ends_after_begin) {
                ranges.push_back(&range);
            }
        }
        std::vector<std::uint32_t> rules;
        PageDifference difference{pfn, 0, 0, {}, {}};
        for (std::uint32_t offset = 0; offset < kPageSize; ++offset) {
            const std::byte bits = expected[offset] ^ found[offset];
            if (bits == std::byte{0}) {
                continue;
            }
            if (allowed(ranges, Gpa{base.raw + offset}, std::to_integer<std::uint8_t>(bits),
                        rules)) {
                continue;
            }
            if (difference.differing == 0) {
                difference.offset = offset;
            }
            ++difference.differing;
        }
        ++out_.compared;
        for (const std::uint32_t rule : rules) {
            ++out_.rule_pages[rule];
        }
        if (difference.differing == 0) {
            ++out_.excused;
            return;
        }
        ++out_.different;
        if (out_.differences.size() < options_.limit) {
            const std::size_t shown = std::min<std::size_t>(kShown, kPageSize - difference.offset);
            difference.expected.assign(expected + difference.offset,
                                       expected + difference.offset + shown);
            difference.found.assign(found + difference.offset, found + difference.offset + shown);
            out_.differences.push_back(std::move(difference));
        }
    }

    // Whether rules together allow all of `bits` to differ; only then are the rules that helped
    // noted.
    static bool allowed(const std::vector<const ExceptionRange*>& ranges, Gpa gpa,
                        std::uint8_t bits, std::vector<std::uint32_t>& rules) {
        unsigned left = bits;
        std::vector<std::uint32_t> helped;
        for (const ExceptionRange* range : ranges) {
            if (gpa < range->gpa || gpa.raw - range->gpa.raw >= range->length.raw ||
                (left & range->mask) == 0) {
                continue;
            }
            left &= ~static_cast<unsigned>(range->mask);
            helped.push_back(range->rule);
        }
        if (left != 0) {
            return false;
        }
        for (const std::uint32_t rule : helped) {
            if (std::find(rules.begin(), rules.end(), rule) == rules.end()) {
                rules.push_back(rule);
            }
        }
        return true;
    }

    const CompareOptions& options_;
    Comparison& out_;
};

}  // namespace

Result<Comparison> compare_ram(const GuestRam& expected, const GuestRam& found,
                               const CompareOptions& options) {
    const auto same_place = [](const RamRegion& a, const RamRegion& b) {
        return a.gpa == b.gpa && a.length == b.length;
    };
    if (!std::equal(expected.regions().begin(), expected.regions().end(), found.regions().begin(),
                    found.regions().end(), same_place)) {
        return Error{"comparison of two RAM views",
                     "their regions differ (" + hex(expected.frames()) + " and " +
                         hex(found.frames()) +
                         " frames): captures of one machine were expected, with the same regions"};
    }
    // Many equal pages at one blow: the usual case, at memcmp's own speed.
    constexpr std::uint64_t kChunk = 16 * kPageSize;
    Comparison out;
    PageJudge judge(options, out);
    for (std::size_t index = 0; index < expected.regions().size(); ++index) {
        const RamRegion& region = expected.regions()[index];
        const std::byte* left = expected.bytes_of(region).data();
        const std::byte* right = found.bytes_of(found.regions()[index]).data();
        for (std::uint64_t at = 0; at < region.length.raw; at += kChunk) {
            const std::uint64_t size = std::min(kChunk, region.length.raw - at);
            if (std::memcmp(left + at, right + at, size) == 0) {
                judge.equal_pages(size >> kPageShift);
                continue;
            }
            for (std::uint64_t page = at; page < at + size; page += kPageSize) {
                judge.page(pfn_of(Gpa{region.gpa.raw + page}), left + page, right + page);
            }
        }
    }
    return out;
}

Result<Comparison> compare_image(const ImagePages& image, const GuestRam& ram,
                                 const CompareOptions& options) {
    const std::size_t entries = image.pfns.size();
    if (!image.zero.empty() && image.zero.size() != entries) {
        return Error{"image pages", "there are " + count_of(entries, "page frame number") +
                                        " but " + count_of(image.zero.size(), "zero flag")};
    }
    const auto is_zero = [](std::uint8_t flag) { return flag != 0; };
    const auto zeros =
        static_cast<std::size_t>(std::count_if(image.zero.begin(), image.zero.end(), is_zero));
    const bool packed = image.data.size() == (entries - zeros) * kPageSize;
    if (!packed && image.data.size() != entries * kPageSize) {
        return Error{"image pages", "data of " + hex(image.data.size()) + " bytes fits neither " +
                                        count_of(entries, "page") + " nor " +
                                        count_of(entries - zeros, "page") +
                                        " (without those full of zeros)"};
    }
    Comparison out;
    PageJudge judge(options, out);
    std::size_t next = 0;
    for (std::size_t index = 0; index < entries; ++index) {
        const Pfn pfn{image.pfns[index]};
        const std::byte* found = ram.page_or_null(pfn);
        if (found == nullptr) {
            return Error{"image page " + std::to_string(index),
                         "page frame " + hex(pfn.raw) + " is not RAM of this machine"};
        }
        const bool zero = !image.zero.empty() && image.zero[index] != 0;
        const std::byte* expected = zero ? kZeroPage.data() : image.data.data() + next * kPageSize;
        if (!zero || !packed) {
            ++next;
        }
        judge.page(pfn, expected, found);
    }
    return out;
}

Result<Comparison> compare_frames(const GuestRam& ram, std::span<const std::uint64_t> expected,
                                  std::span<const std::uint64_t> found,
                                  const CompareOptions& options) {
    if (expected.size() != found.size()) {
        return Error{"comparison of frame lists", "the lists have " +
                                                      std::to_string(expected.size()) + " and " +
                                                      std::to_string(found.size()) + " entries"};
    }
    Comparison out;
    PageJudge judge(options, out);
    for (std::size_t index = 0; index < expected.size(); ++index) {
        const std::byte* left = ram.page_or_null(Pfn{expected[index]});
        const std::byte* right = ram.page_or_null(Pfn{found[index]});
        if (left == nullptr || right == nullptr) {
            return Error{"comparison of frame lists",
                         "page frame " + hex(left == nullptr ? expected[index] : found[index]) +
                             " (entry " + std::to_string(index) + ") is not RAM"};
        }
        judge.page(Pfn{expected[index]}, left, right);
    }
    return out;
}

}  // namespace jumpback::memory
