// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random numbers that are the same on every host: case `index` of seed `seed` is always the same
// case, whatever ran before it. (splitmix64; std::shuffle and the std distributions differ between
// C++ libraries.)
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace jumpback::relocate_check {

class Random {
  public:
    Random(std::uint64_t seed, std::uint64_t index) : state_(seed * 0xd1342543de82ef95U + index) {
        // Neighbouring cases must not be neighbours in the sequence.
        state_ = next() ^ (index << 32);
    }

    std::uint64_t next() {
        std::uint64_t value = state_ += 0x9e3779b97f4a7c15U;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
        value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
        return value ^ (value >> 31);
    }
    // 0 ... bound - 1; bound > 0. (The bias of a modulo does not matter here.)
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }
    // first ... last
    std::uint64_t between(std::uint64_t first, std::uint64_t last) {
        return first + below(last - first + 1);
    }
    bool one_in(std::uint64_t count) { return below(count) == 0; }

    template <typename T>
    void shuffle(std::vector<T>& items) {
        for (std::size_t left = items.size(); left > 1; --left) {
            std::swap(items[left - 1], items[below(left)]);
        }
    }

  private:
    std::uint64_t state_;
};

}  // namespace jumpback::relocate_check
