// SPDX-License-Identifier: GPL-2.0-or-later
//
// What differs between kernels in loading an image, as data: one row for each version and
// architecture that this project supports.
//
// Sources: kernel/kexec.c, kernel/kexec_core.c, include/linux/kexec.h, include/uapi/linux/kexec.h,
// arch/x86/include/asm/kexec.h and arch/x86/kernel/machine_kexec_{32,64}.c of 5.10.262, 6.1.192,
// 6.12.117, 7.2.13 and 7.3.4.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/kimage/entry.h"
#include "model/result.h"

namespace jumpback::kimage {

enum class Arch : std::uint8_t { kX86_64, kI386 };
std::string_view name_of(Arch arch);  // "x86_64", "i386"
Result<Arch> arch_named(std::string_view name);

struct Version {
    unsigned major = 0;
    unsigned minor = 0;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a rewritten "<"
    constexpr auto operator<=>(const Version&) const = default;
};
std::string text_of(Version version);

// What the kernel's configuration and the machine it runs on decide.
struct KernelSetup {
    bool kexec_jump = true;   // CONFIG_KEXEC_JUMP: KEXEC_PRESERVE_CONTEXT is accepted
    bool crash_dump = true;   // CONFIG_CRASH_DUMP: counts where LoadRules::crash_dump_optional
    bool five_level = false;  // x86_64 page tables of five levels: MAXMEM is 2^52, not 2^46
    std::uint64_t page_offset = 0xc000'0000;  // i386: TASK_SIZE, the split of the address space
};

struct LoadRules {
    Arch arch = Arch::kX86_64;
    Version version;
    std::uint64_t segment_max = 16;      // KEXEC_SEGMENT_MAX
    std::uint64_t flags = 0;             // KEXEC_FLAGS without KEXEC_PRESERVE_CONTEXT
    std::uint64_t native_arch_bits = 0;  // KEXEC_ARCH
    // kexec_load() copies the segment list before it takes the lock. Before 6.1
    // kimage_alloc_init() did, after the crash kernel's entry was checked.
    bool copies_before_lock = true;
    // The compat call hands copy_from_user()'s count of bytes left to user space, not -EFAULT.
    bool compat_returns_bytes_left = true;
    bool load_limits = false;          // kexec_load_limit_{reboot,panic}, counted down by each call
    bool crash_dump_optional = false;  // crash images exist under CONFIG_CRASH_DUMP only
    // kimage_is_destination_range() takes the last byte of a range, not the one after it. A segment
    // of length 0 at address 0 then ends at ULONG_MAX and covers all memory.
    bool inclusive_ranges = false;
    // What patches of the kernel under test bring; no released version has them.
    bool skips_empty_segments = false;  // a segment of length 0 covers no memory
    bool refuses_crash_jump = false;    // KEXEC_ON_CRASH together with KEXEC_PRESERVE_CONTEXT
    unsigned control_order = 0;         // of control_code_page: 2^order pages
    bool tables_are_control = true;     // page tables come from kimage_alloc_control_pages()
    bool separate_pgd = false;          // the PGD too, before the other tables

    [[nodiscard]] Word word() const { return arch == Arch::kX86_64 ? Word::k64 : Word::k32; }
    // ULONG_MAX of this kernel.
    [[nodiscard]] std::uint64_t word_max() const {
        return arch == Arch::kX86_64 ? ~std::uint64_t{0} : std::uint64_t{0xffff'ffff};
    }
    // KEXEC_{SOURCE,DESTINATION,CONTROL}_MEMORY_LIMIT
    [[nodiscard]] std::uint64_t source_limit(const KernelSetup& setup) const;
    [[nodiscard]] std::uint64_t destination_limit(const KernelSetup& setup) const;
    [[nodiscard]] std::uint64_t control_limit(const KernelSetup& setup) const;
};

// All rows, by architecture, then version.
std::span<const LoadRules> load_rules();

struct FoundRules {
    const LoadRules* rules = nullptr;
    std::string note;  // empty, or that another version's row stands in
};
// "6.1", "6.1.192", "6.1.192-jumpback". A version between two rows gets the row below it, one
// before the first row the first; the note says so. Error: not a release string.
Result<FoundRules> find_rules(std::string_view release, Arch arch);

}  // namespace jumpback::kimage
