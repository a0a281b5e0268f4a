// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sets of RAM frames as bitmaps: one bit for each frame that the machine has, so a set costs RAM /
// 32768 at most, whatever addresses the regions stand at and whatever a list claims.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
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

// Of frame numbers below `frames`. Memory comes with the first number of each 128 MiB of RAM: what
// a list does not speak of costs nothing.
class FrameSet {
  public:
    explicit FrameSet(std::uint64_t frames) : chunks_((frames + kChunkFrames - 1) / kChunkFrames) {}

    [[nodiscard]] bool has(std::uint64_t number) const {
        const Chunk* chunk = chunks_[number / kChunkFrames].get();
        return chunk != nullptr && ((*chunk)[word_of(number)] >> (number % 64) & 1) != 0;
    }
    // Adds `number`; false if it was there before.
    bool add(std::uint64_t number) {
        std::uint64_t& word = word_at(number);
        const std::uint64_t bit = std::uint64_t{1} << (number % 64);
        const bool fresh = (word & bit) == 0;
        word |= bit;
        return fresh;
    }
    // Adds [first, first + count) up to the first number that was there before; how many it added.
    std::uint64_t add_range(std::uint64_t first, std::uint64_t count) {
        for (std::uint64_t done = 0; done < count;) {
            const Piece piece(first + done, count - done);
            std::uint64_t& word = word_at(first + done);
            if ((word & piece.mask) != 0) {
                const auto at = static_cast<std::uint64_t>(std::countr_zero(word & piece.mask));
                word |= piece.mask & ((std::uint64_t{1} << at) - 1);
                return done + (at - piece.shift);
            }
            word |= piece.mask;
            done += piece.count;
        }
        return count;
    }
    // Is any of [first, first + count) in it?
    [[nodiscard]] bool has_any(std::uint64_t first, std::uint64_t count) const {
        std::uint64_t found = 0;
        for (std::uint64_t done = 0; done < count;) {
            const Piece piece(first + done, count - done);
            const Chunk* chunk = chunks_[(first + done) / kChunkFrames].get();
            found |= chunk == nullptr ? 0 : (*chunk)[word_of(first + done)] & piece.mask;
            done += piece.count;
        }
        return found != 0;
    }
    // How many numbers are in both sets; both are of the same size.
    [[nodiscard]] std::uint64_t in_common(const FrameSet& other) const {
        std::uint64_t total = 0;
        for (std::size_t at = 0; at < chunks_.size(); ++at) {
            if (chunks_[at] != nullptr && other.chunks_[at] != nullptr) {
                for (std::size_t word = 0; word < kChunkWords; ++word) {
                    const std::uint64_t both = (*chunks_[at])[word] & (*other.chunks_[at])[word];
                    total += both == 0 ? 0 : static_cast<std::uint64_t>(std::popcount(both));
                }
            }
        }
        return total;
    }

  private:
    static constexpr std::uint64_t kChunkWords = 512;  // a page of them
    static constexpr std::uint64_t kChunkFrames = kChunkWords * 64;
    using Chunk = std::array<std::uint64_t, kChunkWords>;

    // What one word holds of [first, first + left); `left` is not 0.
    struct Piece {
        Piece(std::uint64_t first, std::uint64_t left)
            : shift(first % 64),
              count(std::min<std::uint64_t>(left, 64 - shift)),
              mask((count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1) << shift) {}
        std::uint64_t shift, count, mask;
    };

    static std::size_t word_of(std::uint64_t number) { return number % kChunkFrames / 64; }
    std::uint64_t& word_at(std::uint64_t number) {
        std::unique_ptr<Chunk>& chunk = chunks_[number / kChunkFrames];
        if (chunk == nullptr) {
            chunk = std::make_unique<Chunk>();
        }
        return (*chunk)[word_of(number)];
    }

    std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace jumpback::kimage
