// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/initial_state.h"

#include <array>
#include <cstring>
#include <string>

#include "vm/unicorn/src/entry_stub.h"

namespace jumpback::unicorn {

namespace {

using relocate::CpuState;

// arch/x86/include/asm/processor-flags.h, as a kernel of these years runs.
constexpr std::uint64_t kCr0 = 0x80050033;       // PG AM WP NE ET MP PE
constexpr std::uint64_t kCr4For64 = 0x001106f0;  // SMEP FSGSBASE OSXMM OSFXSR PGE MCE PAE PSE
constexpr std::uint64_t kCr4Cet = 0x00800000;    // IBT; 6.1 on clear it before CR0.WP
constexpr std::uint64_t kCr4Lass = 0x08000000;   // 7.x clear it before the identity mapping
constexpr std::uint64_t kCr4For32 = 0x000006d0;  // OSXMM OSFXSR PGE MCE PSE
constexpr std::uint64_t kCr4Pae = 0x00000020;
constexpr std::uint64_t kFlags = 0x93;  // SF AF CF and the bit that is always 1; IF = 0

// Offsets in the caller's stack page: the return address and, in its frame, page_list.
constexpr std::uint64_t kReturnSlot = 0xe00;
constexpr std::uint64_t kPageList = 0xf00;

constexpr std::uint64_t kIdtVa64 = 0xfffffe0000000000;  // CPU_ENTRY_AREA_RO_IDT
constexpr std::uint16_t kIdtLimit64 = 256 * 16 - 1;

template <typename T>
void put(std::byte* page, std::uint64_t offset, T value) {
    std::memcpy(page + offset, &value, sizeof(value));
}

std::byte* page(const memory::WritableRam& ram, Gpa gpa) { return ram.page_or_null(pfn_of(gpa)); }

// Every 8 bytes tell where they stand.
void fill(const memory::WritableRam& ram, Gpa gpa) {
    for (std::uint64_t offset = 0; offset < kPageSize; offset += 8) {
        put(page(ram, gpa), offset, (gpa.raw + offset) * 0x9e3779b97f4a7c15 + 0x5bd1e995);
    }
}

// arch/x86/kernel/cpu/common.c: gdt_page. Accessed bits are set, as after boot.
void write_gdt(std::byte* gdt, Arch arch) {
    std::memset(gdt, 0, gdt_limit(arch) + 1U);
    if (arch == Arch::x86_64) {
        put<std::uint64_t>(gdt, 0x08, 0x00cf9b000000ffff);  // __KERNEL32_CS
        put<std::uint64_t>(gdt, 0x10, 0x00af9b000000ffff);  // __KERNEL_CS
        put<std::uint64_t>(gdt, 0x18, 0x00cf93000000ffff);  // __KERNEL_DS
    } else {
        put<std::uint64_t>(gdt, 0x60, 0x00cf9b000000ffff);  // __KERNEL_CS
        put<std::uint64_t>(gdt, 0x68, 0x00cf93000000ffff);  // __KERNEL_DS
    }
}

// prepare_debug_idt (arch/x86/kernel/machine_kexec_64.c): 16 trap gates, handlers 6 bytes apart.
void write_debug_idt(std::byte* control, const RelocateCode& code, Gpa control_page) {
    const auto handlers = code.labels.find("kexec_debug_exc_vectors");
    if (handlers == code.labels.end() || !code.data.contains("kexec_debug_idt")) {
        return;  // before 6.16
    }
    for (std::uint64_t i = 0; i < 16; ++i) {
        const std::uint64_t offset = (control_page.raw & 0xffff) + handlers->second + 6 * i;
        const std::uint64_t gate = code.data.at("kexec_debug_idt") + 16 * i;
        put(control, gate, static_cast<std::uint16_t>(offset));
        put<std::uint16_t>(control, gate + 2, 0x10);    // __KERNEL_CS
        put<std::uint16_t>(control, gate + 4, 0x8f00);  // present, GATE_TRAP
        put(control, gate + 6, static_cast<std::uint16_t>(control_page.raw >> 16));
        put(control, gate + 8, static_cast<std::uint32_t>(control_page.raw >> 32));
        put<std::uint32_t>(control, gate + 12, 0);
    }
}

void write_control_page(const memory::WritableRam& ram, const RelocateCode& code,
                        const Layout& layout) {
    std::byte* control = page(ram, layout.board.control_page);
    std::memcpy(control, code.blob.data(), code.blob.size());
    if (code.convention == Convention::kX86_64Flags) {
        put(control, code.data.at("kexec_va_control_page"), layout.control_va);
        put(control, code.data.at("kexec_pa_table_page"), layout.board.table_pages.front().raw);
        put(control, code.data.at("kexec_pa_swap_page"), layout.board.swap_page.raw);
        write_debug_idt(control, code, layout.board.control_page);
    }
}

Status check_blob(const RelocateCode& code) {
    if (code.blob.size() < code.code_size || code.blob.size() > kControlCodeMax) {
        return Error{"relocate_kernel", std::to_string(code.blob.size()) +
                                            " bytes of code and data: expected at most " +
                                            std::to_string(kControlCodeMax)};
    }
    if (code.gdt_descriptor && code.gdt_descriptor->raw % kPageSize + 10 > kPageSize) {
        return Error{"saved_context", "the GDT descriptor crosses a page"};
    }
    return success();
}

// load_segments has run; GDT and IDT are invalid up to 6.13 and on i386 (native_gdt_invalidate).
// 5.10 gave both the virtual address of physical 0 for a base.
void set_tables(const RelocateCode& code, const Layout& layout, CpuState& cpu) {
    if (code.convention == Convention::kX86_64Flags) {
        cpu.gdtr = {layout.gdt_va, gdt_limit(code.arch)};
        cpu.idtr = {kIdtVa64, kIdtLimit64};
        return;
    }
    const bool old = code.release.starts_with("5.");
    const std::uint64_t base =
        old ? layout.control_va - layout.board.control_page.raw : std::uint64_t{0};
    cpu.gdtr = {base, 0};
    cpu.idtr = {base, 0};
}

CpuState call_64(std::byte* stack, const RelocateCode& code, const Layout& layout,
                 const Call& call) {
    const Board& board = layout.board;
    const bool flags = code.convention == Convention::kX86_64Flags;
    CpuState cpu;
    for (std::size_t i = 0; i < cpu.gpr.size(); ++i) {
        cpu.gpr[i] = 0x1111111111111111 * (i + 1) % 0xfedcba9876543211;
    }
    cpu.gpr[relocate::kRsp] = layout.stack_va + kReturnSlot;
    put(stack, kReturnSlot, layout.return_va);
    cpu.gpr[relocate::kRdi] = call.head;
    cpu.gpr[relocate::kRdx] = call.start;
    if (flags) {
        cpu.gpr[relocate::kRsi] = board.control_page.raw;
        // RELOC_KERNEL_PRESERVE_CONTEXT, RELOC_KERNEL_CACHE_INCOHERENT
        cpu.gpr[relocate::kRcx] =
            (call.preserve ? 1U : 0U) | (call.host_memory_encryption ? 2U : 0U);
        cpu.rip = layout.control_va + (code.entry.raw - code.begin.raw);
        cpu.cr4 = kCr4For64 | kCr4Cet | kCr4Lass;
    } else {
        cpu.gpr[relocate::kRsi] = layout.stack_va + kPageList;
        put(stack, kPageList, board.control_page.raw);
        put(stack, kPageList + 8, layout.control_va);
        put(stack, kPageList + 16, board.table_pages.front().raw);
        put(stack, kPageList + 24, board.swap_page.raw);
        cpu.gpr[relocate::kRcx] = call.preserve ? 1 : 0;
        cpu.gpr[relocate::kR8] = call.host_memory_encryption ? 1 : 0;
        cpu.rip = code.entry.raw;
        cpu.cr4 = kCr4For64 | (code.release.starts_with("5.") ? 0 : kCr4Cet);
    }
    return cpu;
}

CpuState call_32(std::byte* stack, const RelocateCode& code, const Layout& layout,
                 const Call& call) {
    const Board& board = layout.board;
    CpuState cpu;
    for (std::size_t i = 0; i < 8; ++i) {
        cpu.gpr[i] = 0x11111111 * (i + 1);
    }
    cpu.gpr[relocate::kRsp] = layout.stack_va + kReturnSlot;
    const std::array<std::uint64_t, 6> words = {layout.return_va,
                                                call.head,
                                                layout.stack_va + kPageList,
                                                call.start,
                                                call.cpu_has_pae ? 1U : 0U,
                                                call.preserve ? 1U : 0U};
    for (std::size_t i = 0; i < words.size(); ++i) {
        put(stack, kReturnSlot + 4 * i, static_cast<std::uint32_t>(words[i]));
    }
    const std::array<std::uint64_t, 4> list = {board.control_page.raw, layout.control_va,
                                               board.table_pages.front().raw, board.swap_page.raw};
    for (std::size_t i = 0; i < list.size(); ++i) {
        put(stack, kPageList + 4 * i, static_cast<std::uint32_t>(list[i]));
    }
    cpu.rip = layout.control_va + (code.entry.raw - code.begin.raw);
    cpu.cr4 = kCr4For32 | (code.pae ? kCr4Pae : 0);
    return cpu;
}

}  // namespace

Status write_system_pages(const memory::WritableRam& ram, const RelocateCode& code,
                          const Layout& layout) {
    Status fits = check_blob(code);
    if (!fits) {
        return fits;
    }
    const Board& board = layout.board;
    for (const Gpa gpa :
         {board.control_page, board.swap_page, board.stack_page, board.entry_page}) {
        fill(ram, gpa);
    }
    for (const Gpa gpa : board.kernel_image) {
        fill(ram, gpa);
    }
    const Gpa neighbour{board.swap_page.raw + kPageSize};
    if (page(ram, neighbour) != nullptr) {
        fill(ram, neighbour);
    }
    for (const auto& [mappings, tables] :
         {std::pair(&layout.kernel, &board.kernel_tables), {&layout.kexec, &board.table_pages}}) {
        Status built = build_tables(ram, layout.paging, *mappings, *tables);
        if (!built) {
            return built;
        }
    }
    write_control_page(ram, code, layout);
    write_gdt(page(ram, layout.gdt_page), code.arch);
    if (code.convention == Convention::kX86_64PageList) {
        std::memcpy(page(ram, layout.text_page) + code.begin.raw % kPageSize, code.blob.data(),
                    code.blob.size());
    }
    if (code.gdt_descriptor) {
        // saved_context.gdt_desc, as __save_processor_state fills it.
        const std::uint64_t offset = code.gdt_descriptor->raw % kPageSize;
        put(page(ram, layout.descriptor_page), offset, board.saved_gdt.limit);
        put(page(ram, layout.descriptor_page), offset + 2, board.saved_gdt.base);
    }
    write_entry_stub(page(ram, board.entry_page), board.entry_page, code.arch,
                     {layout.gdt_va, gdt_limit(code.arch)});
    return success();
}

CpuState write_call(const memory::WritableRam& ram, const RelocateCode& code, const Layout& layout,
                    const Call& call) {
    std::byte* stack = page(ram, layout.board.stack_page);
    const bool wide = code.arch == Arch::x86_64;
    CpuState cpu = wide ? call_64(stack, code, layout, call) : call_32(stack, code, layout, call);
    cpu.rflags = kFlags;
    cpu.cr0 = kCr0;
    cpu.cr3 = layout.board.kernel_tables.front().raw;
    cpu.cs = wide ? 0x10 : 0x60;
    cpu.ds = cpu.es = cpu.ss = cpu.fs = cpu.gs = wide ? 0x18 : 0x68;
    set_tables(code, layout, cpu);
    return cpu;
}

}  // namespace jumpback::unicorn
