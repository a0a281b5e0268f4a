// SPDX-License-Identifier: GPL-2.0-or-later
//
// The registers that relocate_kernel saves, changes or must give back. On i386 the upper halves are
// zero and r8 to r15 unused.
#pragma once

#include <array>
#include <cstdint>

namespace jumpback::relocate {

// Index into CpuState::gpr, in the processor's own numbering (ModRM order).
enum Gpr : unsigned {
    kRax,
    kRcx,
    kRdx,
    kRbx,
    kRsp,
    kRbp,
    kRsi,
    kRdi,
    kR8,
    kR9,
    kR10,
    kR11,
    kR12,
    kR13,
    kR14,
    kR15
};
inline constexpr unsigned kGprs = 16;

struct DescriptorTable {
    std::uint64_t base = 0;  // linear address
    std::uint16_t limit = 0;
    bool operator==(const DescriptorTable&) const = default;
};

struct CpuState {
    std::array<std::uint64_t, kGprs> gpr{};
    std::uint64_t rip = 0;
    std::uint64_t rflags = 0;
    std::uint64_t cr0 = 0;
    std::uint64_t cr3 = 0;
    std::uint64_t cr4 = 0;
    DescriptorTable gdtr;
    DescriptorTable idtr;
    std::uint16_t cs = 0, ds = 0, es = 0, ss = 0, fs = 0, gs = 0;  // selectors
    bool operator==(const CpuState&) const = default;
};

}  // namespace jumpback::relocate
