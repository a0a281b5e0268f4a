// SPDX-License-Identifier: GPL-2.0-or-later
//
// Things in the captured memory that contradict each other without making it unreadable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/address.h"

namespace jumpback::memory {

struct Oddity {
    std::optional<Pfn> pfn;
    std::string text;
};

// Keeps the first ones and counts all: thousands of pages may have the same fault.
class Oddities {
  public:
    explicit Oddities(std::size_t limit = 32) : limit_(limit) {}

    void add(std::optional<Pfn> pfn, std::string text) {
        ++total_;
        if (listed_.size() < limit_) {
            listed_.push_back({pfn, std::move(text)});
        }
    }

    [[nodiscard]] const std::vector<Oddity>& listed() const { return listed_; }
    [[nodiscard]] std::uint64_t total() const { return total_; }

  private:
    std::size_t limit_;
    std::uint64_t total_ = 0;
    std::vector<Oddity> listed_;
};

}  // namespace jumpback::memory
