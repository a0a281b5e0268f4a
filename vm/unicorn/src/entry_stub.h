// SPDX-License-Identifier: GPL-2.0-or-later
//
// A few instructions that put control registers and segments as the kernel has them. Unicorn
// honours CR0, CR3, CR4 and segments only when guest code itself loads them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/address.h"
#include "model/relocate/cpu_state.h"
#include "vm/vmlinux.h"

namespace jumpback::unicorn {

// Writes the stub to `page`, which stands at `gpa` and is mapped there in every state it may start
// from. It expects the values for CR0, CR3 and CR4 in rcx, rbx and rax, and halts when done.
void write_entry_stub(std::byte* page, Gpa gpa, Arch arch, relocate::DescriptorTable gdt);

// Bytes of the stub: an instruction pointer within them is the stub's.
inline constexpr std::uint64_t kEntryStubBytes = 0x40;

}  // namespace jumpback::unicorn
