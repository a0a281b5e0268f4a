// SPDX-License-Identifier: GPL-2.0-or-later
//
// Bits of the control registers, of the flags and of page-table entries that relocate_kernel
// touches (arch/x86/include/uapi/asm/processor-flags.h, pgtable_types.h).
#pragma once

#include <cstdint>

namespace jumpback::relocate {

inline constexpr std::uint64_t kCr0Pe = 1U << 0;
inline constexpr std::uint64_t kCr0Em = 1U << 2;
inline constexpr std::uint64_t kCr0Ts = 1U << 3;
inline constexpr std::uint64_t kCr0Wp = 1U << 16;
inline constexpr std::uint64_t kCr0Am = 1U << 18;
inline constexpr std::uint64_t kCr0Pg = 1U << 31;

inline constexpr std::uint64_t kCr4Pae = 1U << 5;
inline constexpr std::uint64_t kCr4La57 = 1U << 12;

inline constexpr std::uint64_t kFlagReserved = 1U << 1;  // always set
// CF PF AF ZF SF OF: what arithmetic leaves behind. No entry convention promises them.
inline constexpr std::uint64_t kStatusFlags = 0x8d5;

inline constexpr std::uint64_t kPageAccessed = 1U << 5;
inline constexpr std::uint64_t kPageDirty = 1U << 6;
// The accessed bit of a segment descriptor, which loading a segment register sets.
inline constexpr std::uint64_t kDescriptorAccessed = std::uint64_t{1} << 40;

}  // namespace jumpback::relocate
