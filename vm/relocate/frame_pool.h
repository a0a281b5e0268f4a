// SPDX-License-Identifier: GPL-2.0-or-later
//
// The frames that a case may use, handed out at random: single ones and stretches without a hole.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "model/address.h"
#include "model/memory/guest_ram.h"
#include "vm/relocate/random.h"

namespace jumpback::relocate_check {

class FramePool {
  public:
    FramePool(std::span<const memory::RamRegion> regions, Random& random) : random_(random) {
        for (const memory::RamRegion& region : regions) {
            for (std::uint64_t at = 0; at < region.length.raw; at += kPageSize) {
                frames_.emplace_back(region.gpa.raw + at);
            }
        }
        std::sort(frames_.begin(), frames_.end());
        used_.resize(frames_.size(), false);
        left_ = frames_.size();
    }

    [[nodiscard]] std::size_t left() const { return left_; }
    [[nodiscard]] const std::vector<Gpa>& all() const { return frames_; }
    // Any frame, used or not.
    [[nodiscard]] Gpa any() { return frames_[random_.below(frames_.size())]; }

    // A free frame; there must be one left. One in four lies at an edge of a region.
    Gpa take() {
        const std::size_t at = free_from(random_.one_in(4) ? edge() : random_.below(size()));
        mark(at);
        return frames_[at];
    }
    // The lowest free frame at or above `from`, or the lowest of all.
    Gpa take_from(Gpa from) {
        const auto at = std::lower_bound(frames_.begin(), frames_.end(), from);
        const std::size_t index =
            free_from(static_cast<std::size_t>(at - frames_.begin()) % size());
        mark(index);
        return frames_[index];
    }
    // At most `longest` free frames in a row, at least one; there must be one left.
    std::vector<Gpa> take_run(std::uint64_t longest) {
        std::size_t first = free_from(random_.one_in(4) ? edge() : random_.below(size()));
        // Towards the front, so that a stretch at the end of a region can be long as well.
        for (std::uint64_t back = random_.below(longest); back > 0 && joins(first); --back) {
            --first;
        }
        std::vector<Gpa> run{frames_[first]};
        mark(first);
        for (std::size_t at = first + 1; at < size() && run.size() < longest; ++at) {
            if (used_[at] || frames_[at].raw != frames_[at - 1].raw + kPageSize) {
                break;
            }
            mark(at);
            run.push_back(frames_[at]);
        }
        return run;
    }

  private:
    [[nodiscard]] std::size_t size() const { return frames_.size(); }
    // Whether the frame before `at` is its free neighbour.
    [[nodiscard]] bool joins(std::size_t at) const {
        return at > 0 && !used_[at - 1] && frames_[at].raw == frames_[at - 1].raw + kPageSize;
    }
    std::size_t free_from(std::size_t at) const {
        while (used_[at]) {
            at = (at + 1) % size();
        }
        return at;
    }
    void mark(std::size_t at) {
        used_[at] = true;
        --left_;
    }
    // The first or last frame of a region.
    std::size_t edge() {
        std::size_t at = random_.below(size());
        if (random_.one_in(2)) {
            while (at > 0 && frames_[at].raw == frames_[at - 1].raw + kPageSize) {
                --at;
            }
        } else {
            while (at + 1 < size() && frames_[at + 1].raw == frames_[at].raw + kPageSize) {
                ++at;
            }
        }
        return at;
    }

    Random& random_;
    std::vector<Gpa> frames_;  // sorted
    std::vector<bool> used_;
    std::size_t left_ = 0;
};

}  // namespace jumpback::relocate_check
