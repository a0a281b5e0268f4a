// SPDX-License-Identifier: GPL-2.0-or-later
//
// What machine_kexec_prepare and machine_kexec leave in memory and registers just before they call
// relocate_kernel (P0), for each convention.
#pragma once

#include "model/relocate/cpu_state.h"
#include "vm/unicorn/src/layout.h"

namespace jumpback::unicorn {

// Fills every page outside the arena: page tables, control page, kernel pages, stack, GDT, and the
// stub of entry_stub.h. What the kernel leaves as it was gets bytes that are easy to recognise.
Status write_system_pages(const memory::WritableRam& ram, const RelocateCode& code,
                          const Layout& layout);

// The arguments that `call` puts on the stack and the page_list there; returns the registers at P0.
relocate::CpuState write_call(const memory::WritableRam& ram, const RelocateCode& code,
                              const Layout& layout, const Call& call);

}  // namespace jumpback::unicorn
