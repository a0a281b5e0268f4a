// SPDX-License-Identifier: GPL-2.0-or-later
//
// The real relocate_kernel, taken out of a vmlinux: its bytes, where they were linked, and the
// places in them that machine_kexec fills or jumps to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
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

// KEXEC_CONTROL_CODE_MAX_SIZE (arch/x86/include/asm/kexec.h), in bytes: what machine_kexec copies
// up to 6.13 and on i386, and the most that the linker lets the sections be from 6.14 on.
inline constexpr std::uint64_t kControlCodeMax = 2048;

struct RelocateCode {
    Arch arch = Arch::x86_64;
    Convention convention = Convention::kX86_64PageList;
    std::string release;  // "6.1.192"
    Gva begin;            // link address of the first byte that is copied to the control page
    Gva entry;            // link address of relocate_kernel
    // What machine_kexec copies to the control page: KEXEC_CONTROL_CODE_MAX_SIZE bytes (2048) up to
    // 6.13 and on i386, text and data of the relocate_kernel sections from 6.14 on.
    std::vector<std::byte> blob;
    // Offsets in the blob by symbol. `data`: the words of kX86_64Flags (kexec_va_control_page, …);
    // `labels`: where instructions start (relocate_kernel, identity_mapped, swap_pages, …).
    std::map<std::string, std::uint64_t> data;
    std::map<std::string, std::uint64_t> labels;
    // Bytes from the start of the blob that are instructions of relocate_kernel; what follows is
    // data, or whatever the linker put behind it.
    std::uint64_t code_size = 0;

    Gva caller;  // link address of machine_kexec
    // The GDT descriptor in saved_context that virtual_mapped loads; nothing where it loads none
    // (5.10, 6.1, i386, or CONFIG_KEXEC_JUMP off).
    std::optional<Gva> gdt_descriptor;
    bool pae = false;                // i386: CONFIG_X86_PAE
    std::optional<bool> kexec_jump;  // CONFIG_KEXEC_JUMP; nothing if the kernel does not tell
    std::vector<std::string> notes;  // what a user should know before trusting a result

    // Errors name the file and what is missing of it (no symbol table, no relocate_kernel, …).
    static Result<RelocateCode> find(const Vmlinux& vmlinux);

    // "identity_mapped+0x12" for an offset in the blob.
    [[nodiscard]] std::string place(std::uint64_t offset) const;
};

}  // namespace jumpback::unicorn
