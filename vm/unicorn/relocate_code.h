// SPDX-License-Identifier: GPL-2.0-or-later
//
// The real relocate_kernel, taken out of a vmlinux: its bytes, where they were linked, and the
// places in them that machine_kexec fills or jumps to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/address.h"
#include "model/result.h"
#include "vm/vmlinux.h"

namespace jumpback::unicorn {

// How C calls relocate_kernel (arch/x86/kernel/machine_kexec_{32,64}.c).
enum class Convention {
    kX86_64PageList,  // 5.10 to 6.13: head, page_list, start, preserve, SME; first half in kernel
                      // text
    kX86_64Flags,  // 6.14 on: head, PA of the control page, start, flags; all of it in the control
                   // page
    kI386,         // five stack arguments; first half at the VA of the control page
};

struct RelocateCode {
    Arch arch = Arch::x86_64;
    Convention convention = Convention::kX86_64PageList;
    std::string release;  // "6.1.192"
    Gva begin;            // link address of the first byte that is copied to the control page
    Gva entry;            // link address of relocate_kernel
    // What machine_kexec copies to the control page: KEXEC_CONTROL_CODE_MAX_SIZE bytes (2048) up to
    // 6.13 and on i386, text and data of the relocate_kernel sections from 6.14 on.
    std::vector<std::byte> blob;
    // kX86_64Flags: offset in the blob of each data word by its symbol (kexec_va_control_page, …).
    std::map<std::string, std::uint64_t> data;

    // Errors name the file and what is missing of it (no symbol table, no relocate_kernel, …).
    static Result<RelocateCode> find(const Vmlinux& vmlinux);
};

}  // namespace jumpback::unicorn
