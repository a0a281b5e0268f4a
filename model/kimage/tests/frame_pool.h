// SPDX-License-Identifier: GPL-2.0-or-later
//
// An allocator for tests: hands out free frames of a machine at random or in order, and keeps book,
// so that a frame given out twice, given back twice or lost is seen.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "model/kimage/frame_source.h"

namespace jumpback::kimage::test {

class FramePool final : public FrameSource {
  public:
    // Frames [first, end). Lower ones than `lowmem_end` are low memory.
    FramePool(std::uint64_t first, std::uint64_t end, std::uint64_t seed,
              std::uint64_t lowmem_end = ~std::uint64_t{0})
        : random_(seed), lowmem_end_(lowmem_end) {
        for (std::uint64_t pfn = first; pfn < end; ++pfn) {
            free_.push_back(pfn);
        }
        std::shuffle(free_.begin(), free_.end(), random_);
    }

    std::optional<Pfn> next(const FrameRequest& request) override {
        const std::uint64_t count = std::uint64_t{1} << request.order;
        for (std::size_t at = free_.size(); at-- > 0;) {
            const std::uint64_t first = free_[at];
            if (!request.highmem && first + count > lowmem_end_) {
                continue;
            }
            if (request.order == 0) {
                free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(at));
                used_.insert(first);
                log_.push_back({Pfn{first}, 0});
                return Pfn{first};
            }
            if (first % count == 0 && all_free(first, count)) {
                for (std::uint64_t pfn = first; pfn < first + count; ++pfn) {
                    free_.erase(std::find(free_.begin(), free_.end(), pfn));
                    used_.insert(pfn);
                }
                log_.push_back({Pfn{first}, request.order});
                return Pfn{first};
            }
        }
        return std::nullopt;
    }
    void release(Pfn first, unsigned order) override {
        for (std::uint64_t pfn = first.raw; pfn < first.raw + (std::uint64_t{1} << order); ++pfn) {
            faults_ += used_.erase(pfn) == 1 ? 0U : 1U;
            free_.insert(free_.begin(), pfn);
        }
    }
    [[nodiscard]] bool is_highmem(Pfn pfn) const override { return pfn.raw >= lowmem_end_; }

    [[nodiscard]] const std::set<std::uint64_t>& used() const { return used_; }
    [[nodiscard]] std::size_t free() const { return free_.size(); }
    [[nodiscard]] unsigned faults() const { return faults_; }  // releases of what was not given out
    [[nodiscard]] const std::vector<Allocation>& log() const { return log_; }

  private:
    [[nodiscard]] bool all_free(std::uint64_t first, std::uint64_t count) const {
        for (std::uint64_t pfn = first; pfn < first + count; ++pfn) {
            if (std::find(free_.begin(), free_.end(), pfn) == free_.end()) {
                return false;
            }
        }
        return true;
    }

    std::mt19937_64 random_;
    std::uint64_t lowmem_end_;
    std::vector<std::uint64_t> free_;
    std::set<std::uint64_t> used_;
    std::vector<Allocation> log_;
    unsigned faults_ = 0;
};

}  // namespace jumpback::kimage::test
