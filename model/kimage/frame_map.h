// SPDX-License-Identifier: GPL-2.0-or-later
//
// The multi-stage patch's hash table from a destination page to its source: a map from page frame
// numbers to small numbers. A bucket holds 4096 neighbouring frames (16 MiB of RAM), so that a
// run of destinations stays in one bucket, and the table of buckets in the CPU's caches.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "model/address.h"

namespace jumpback::kimage {

class FrameMap {
  public:
    // Values are below 2^32 - 1.
    [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t pfn) const {
        const Bucket* bucket = bucket_of(pfn >> kShift);
        if (bucket == nullptr || (*bucket)[pfn % kFrames] == 0) {
            return std::nullopt;
        }
        return (*bucket)[pfn % kFrames] - 1;
    }
    void set(std::uint64_t pfn, std::uint64_t value) {
        const std::uint64_t key = pfn >> kShift;
        if (key != last_key_ || last_ == nullptr) {
            std::unique_ptr<Bucket>& place = buckets_[key];
            if (place == nullptr) {
                place = std::make_unique<Bucket>();
            }
            last_ = place.get();
            last_key_ = key;
        }
        (*last_)[pfn % kFrames] = static_cast<std::uint32_t>(value + 1);
    }
    void erase(std::uint64_t pfn) {
        if (find(pfn)) {
            (*bucket_of(pfn >> kShift))[pfn % kFrames] = 0;
        }
    }

  private:
    static constexpr unsigned kShift = 12;
    static constexpr std::uint64_t kFrames = std::uint64_t{1} << kShift;
    using Bucket = std::array<std::uint32_t, kFrames>;  // value + 1; 0: none

    [[nodiscard]] Bucket* bucket_of(std::uint64_t key) const {
        if (key == last_key_) {
            return last_;
        }
        const auto found = buckets_.find(key);
        if (found == buckets_.end()) {
            return nullptr;
        }
        last_key_ = key;
        last_ = found->second.get();
        return last_;
    }

    std::unordered_map<std::uint64_t, std::unique_ptr<Bucket>> buckets_;
    mutable std::uint64_t last_key_ = 0;
    mutable Bucket* last_ = nullptr;  // of last_key_, if it is there
};

}  // namespace jumpback::kimage
