// SPDX-License-Identifier: GPL-2.0-or-later
//
// RAM in two stretches with a hole between them, and page lists in it.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "model/kimage/entry.h"
#include "model/kimage/list_writer.h"
#include "model/memory/writable_ram.h"

namespace jumpback::kimage::test {

inline constexpr std::uint64_t kLowFrames = 4096;  // GPA 0 to 16 MiB
inline constexpr Gpa kHighStart{0x1000'0000};      // 256 MiB
inline constexpr std::uint64_t kHighFrames = 256;  // 1 MiB

class ListRam {
  public:
    ListRam()
        : buffer_((kLowFrames + kHighFrames) * kPageSize),
          ram_(memory::WritableRam::create(
                   buffer_,
                   {{Gpa{0}, Bytes{0}, Bytes{kLowFrames * kPageSize}},
                    {kHighStart, Bytes{kLowFrames * kPageSize}, Bytes{kHighFrames * kPageSize}}})
                   .value()) {}

    [[nodiscard]] const memory::WritableRam& ram() const { return ram_; }
    [[nodiscard]] const memory::GuestRam& view() const { return ram_.view(); }

    void put(Gpa page, std::uint64_t index, std::uint64_t value, Word word) const {
        std::memcpy(ram_.page_or_null(pfn_of(page)) + index * bytes_of(word), &value,
                    bytes_of(word));
    }
    [[nodiscard]] std::uint64_t get(Gpa page, std::uint64_t index, Word word) const {
        std::uint64_t value = 0;
        std::memcpy(&value, ram_.page_or_null(pfn_of(page)) + index * bytes_of(word),
                    bytes_of(word));
        return value;
    }

  private:
    std::vector<std::byte> buffer_;
    memory::WritableRam ram_;
};

constexpr Gpa frame(std::uint64_t pfn) { return Gpa{pfn * kPageSize}; }

// `count` frames from `first` on.
inline std::vector<Gpa> frames(std::uint64_t first, std::uint64_t count) {
    std::vector<Gpa> out;
    for (std::uint64_t at = 0; at < count; ++at) {
        out.push_back(frame(first + at));
    }
    return out;
}

constexpr Entry to(std::uint64_t pfn) { return {pfn * kPageSize | kIndDestination}; }
constexpr Entry from(std::uint64_t pfn) { return {pfn * kPageSize | kIndSource}; }

}  // namespace jumpback::kimage::test
