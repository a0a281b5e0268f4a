// SPDX-License-Identifier: GPL-2.0-or-later
//
// What stands in the pages of a case: word number n of the case is salt + n * kStep. All words of a
// case differ from each other (kStep is odd), in each 32-bit half too, and a word tells which page
// it was made for, so a wrong page can be told by what stands in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "model/address.h"

namespace jumpback::relocate_check {

inline constexpr std::uint64_t kWordsPerPage = kPageSize / sizeof(std::uint64_t);

class Contents {
  public:
    explicit Contents(std::uint64_t salt) : salt_(salt) {}

    // `number`: of the page, below kNumbers; each number has words of its own.
    void fill(std::byte* page, std::uint64_t number) const {
        std::uint64_t value = salt_ + number * kWordsPerPage * kStep;
        for (std::uint64_t word = 0; word < kWordsPerPage; ++word, value += kStep) {
            std::memcpy(page + word * sizeof value, &value, sizeof value);
        }
    }
    // The same for a stretch of a page.
    void fill(std::byte* page, std::uint64_t number, std::uint64_t offset,
              std::uint64_t length) const {
        const std::uint64_t end = offset + length;
        for (std::uint64_t at = offset; at < end;) {
            const std::uint64_t inside = at % sizeof(std::uint64_t);
            const std::uint64_t take = std::min(sizeof(std::uint64_t) - inside, end - at);
            const std::uint64_t value =
                salt_ + (number * kWordsPerPage + at / sizeof(std::uint64_t)) * kStep;
            const std::uint64_t shifted = value >> (8 * inside);  // little endian
            std::memcpy(page + at, &shifted, take);
            at += take;
        }
    }

    struct Origin {
        std::uint64_t number = 0;  // of the page
        std::uint64_t offset = 0;  // in it, bytes
    };
    // Where an aligned word comes from, if it was made here.
    [[nodiscard]] std::optional<Origin> origin(std::uint64_t value) const {
        const std::uint64_t word = (value - salt_) * kInverse;
        if (word >= kNumbers * kWordsPerPage) {
            return std::nullopt;
        }
        return Origin{word / kWordsPerPage, word % kWordsPerPage * sizeof value};
    }

    // Page numbers: so few that words differ in their lower halves as well.
    static constexpr std::uint64_t kNumbers = std::uint64_t{1} << 22;

  private:
    static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15U;
    // 1 / kStep modulo 2^64, by Newton's iteration.
    static constexpr std::uint64_t kInverse = [] {
        std::uint64_t inverse = kStep;
        for (int round = 0; round < 6; ++round) {
            inverse *= 2 - kStep * inverse;
        }
        return inverse;
    }();
    static_assert(kStep * kInverse == 1);

    std::uint64_t salt_;
};

}  // namespace jumpback::relocate_check
