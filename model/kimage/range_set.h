// SPDX-License-Identifier: GPL-2.0-or-later
//
// Destination ranges by address, so that "is this page somebody's destination?" costs a search and
// not a walk of all segments.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace jumpback::kimage {

// Half-open ranges of addresses; overlapping and touching ones are joined.
class RangeSet {
  public:
    // Returns how many bytes of it were in no range before.
    std::uint64_t add(std::uint64_t start, std::uint64_t end) {
        if (start >= end) {
            return 0;
        }
        std::uint64_t known = 0;
        auto at = ranges_.upper_bound(start);
        if (at != ranges_.begin() && std::prev(at)->second >= start) {
            --at;
            start = at->first;
        }
        while (at != ranges_.end() && at->first <= end) {
            known += at->second - at->first;
            end = std::max(end, at->second);
            at = ranges_.erase(at);
        }
        ranges_.emplace_hint(at, start, end);
        return end - start - known;
    }
    // Does any range have a byte of [start, end)?
    [[nodiscard]] bool touches(std::uint64_t start, std::uint64_t end) const {
        const auto at = ranges_.lower_bound(end);  // the first that starts at or after the end
        return at != ranges_.begin() && std::prev(at)->second > start;
    }
    [[nodiscard]] const std::map<std::uint64_t, std::uint64_t>& ranges() const { return ranges_; }

  private:
    std::map<std::uint64_t, std::uint64_t> ranges_;  // start to end
};

}  // namespace jumpback::kimage
