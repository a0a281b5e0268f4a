// SPDX-License-Identifier: GPL-2.0-or-later
//
// Strong types for the numbers that must never be mixed up: guest physical and virtual addresses,
// page frame numbers and byte counts. None converts to another without saying so.
#pragma once

#include <compare>
#include <cstdint>

namespace jumpback {

inline constexpr unsigned kPageShift = 12;
inline constexpr std::uint64_t kPageSize = std::uint64_t{1} << kPageShift;  // bytes, x86

template <typename Tag>
struct StrongU64 {
    std::uint64_t raw = 0;

    constexpr StrongU64() = default;
    constexpr explicit StrongU64(std::uint64_t value) : raw(value) {}
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a rewritten "<"
    constexpr auto operator<=>(const StrongU64&) const = default;
};

using Gpa = StrongU64<struct GpaTag>;      // guest physical address, bytes
using Gva = StrongU64<struct GvaTag>;      // guest virtual address, bytes
using Pfn = StrongU64<struct PfnTag>;      // page frame number: Gpa >> 12
using Bytes = StrongU64<struct BytesTag>;  // a count of bytes

constexpr Pfn pfn_of(Gpa gpa) { return Pfn{gpa.raw >> kPageShift}; }
constexpr Gpa gpa_of(Pfn pfn) { return Gpa{pfn.raw << kPageShift}; }

}  // namespace jumpback
