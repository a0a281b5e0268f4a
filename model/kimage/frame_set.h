// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sets of RAM frames as bitmaps: one bit for each frame that the machine has, so a set costs RAM /
// 32768, whatever addresses the regions stand at and whatever a list claims.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/address.h"
#include "model/memory/guest_ram.h"

namespace jumpback::kimage {

// RAM frames numbered 0, 1, 2 ... in order of their guest physical address, holes left out.
class FrameNumbers {
  public:
    // A stretch of frames without a hole. A default-made one holds nothing.
    struct Span {
        std::uint64_t first_pfn = 0;
        std::uint64_t frames = 0;
        std::uint64_t first_number = 0;
        [[nodiscard]] bool holds(std::uint64_t pfn) const { return pfn - first_pfn < frames; }
        [[nodiscard]] std::uint64_t number_of(std::uint64_t pfn) const {
            return first_number + (pfn - first_pfn);
        }
    };

    // Only frames below `end`: a 32-bit list reaches no others.
    explicit FrameNumbers(const memory::GuestRam& ram, Pfn end = Pfn{~std::uint64_t{0}}) {
        for (const memory::RamRegion& region : ram.regions()) {
            const std::uint64_t first = pfn_of(region.gpa).raw;
            if (first >= end.raw) {
                break;  // regions are sorted
            }
            const Span span{first, std::min(region.length.raw >> kPageShift, end.raw - first),
                            frames_};
            if (!spans_.empty() &&
                spans_.back().first_pfn + spans_.back().frames == span.first_pfn) {
                spans_.back().frames += span.frames;  // one machine may store one stretch in pieces
            } else {
                spans_.push_back(span);
            }
            frames_ += span.frames;
        }
    }

    // The span that holds `pfn`, or an empty one.
    [[nodiscard]] Span span_of(std::uint64_t pfn) const {
        for (const Span& span : spans_) {
            if (span.holds(pfn)) {
                return span;
            }
        }
        return {};
    }
    [[nodiscard]] std::uint64_t frames() const { return frames_; }

  private:
    std::vector<Span> spans_;
    std::uint64_t frames_ = 0;
};

// Of frame numbers below `frames`.
class FrameSet {
  public:
    explicit FrameSet(std::uint64_t frames) : words_((frames + 63) / 64) {}

    [[nodiscard]] bool has(std::uint64_t number) const {
        return (words_[number / 64] >> (number % 64) & 1) != 0;
    }
    // Adds `number`; false if it was there before.
    bool add(std::uint64_t number) {
        std::uint64_t& word = words_[number / 64];
        const std::uint64_t bit = std::uint64_t{1} << (number % 64);
        const bool fresh = (word & bit) == 0;
        word |= bit;
        return fresh;
    }
    // Adds [first, first + count) up to the first number that was there before; how many it added.
    std::uint64_t add_range(std::uint64_t first, std::uint64_t count) {
        std::uint64_t done = 0;
        while (done < count) {
            std::uint64_t& word = words_[(first + done) / 64];
            const std::uint64_t shift = (first + done) % 64;
            const std::uint64_t take = std::min<std::uint64_t>(count - done, 64 - shift);
            const std::uint64_t mask =
                (take == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << take) - 1) << shift;
            if ((word & mask) != 0) {
                const auto at = static_cast<std::uint64_t>(std::countr_zero(word & mask));
                word |= mask & ((std::uint64_t{1} << at) - 1);
                return done + (at - shift);
            }
            word |= mask;
            done += take;
        }
        return count;
    }
    // How many numbers are in both sets; both are of the same size.
    [[nodiscard]] std::uint64_t in_common(const FrameSet& other) const {
        std::uint64_t total = 0;
        for (std::size_t at = 0; at < words_.size(); ++at) {
            total += static_cast<std::uint64_t>(std::popcount(words_[at] & other.words_[at]));
        }
        return total;
    }

  private:
    std::vector<std::uint64_t> words_;
};

}  // namespace jumpback::kimage
