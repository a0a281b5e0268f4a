// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/expect.h"

#include <array>

#include "model/relocate/cpu_bits.h"

namespace jumpback::relocate {
namespace {

struct NamedGpr {
    Gpr number;
    std::string_view name;
};
constexpr std::array<NamedGpr, 15> kNotRsp{{{kRax, "rax"},
                                            {kRcx, "rcx"},
                                            {kRdx, "rdx"},
                                            {kRbx, "rbx"},
                                            {kRbp, "rbp"},
                                            {kRsi, "rsi"},
                                            {kRdi, "rdi"},
                                            {kR8, "r8"},
                                            {kR9, "r9"},
                                            {kR10, "r10"},
                                            {kR11, "r11"},
                                            {kR12, "r12"},
                                            {kR13, "r13"},
                                            {kR14, "r14"},
                                            {kR15, "r15"}}};
// What a C function must give back.
constexpr std::array<NamedGpr, 6> kCalleeSaved64{
    {{kRbx, "rbx"}, {kRbp, "rbp"}, {kR12, "r12"}, {kR13, "r13"}, {kR14, "r14"}, {kR15, "r15"}}};
constexpr std::array<NamedGpr, 4> kCalleeSaved32{
    {{kRbx, "rbx"}, {kRsi, "rsi"}, {kRdi, "rdi"}, {kRbp, "rbp"}}};

class Checks {
  public:
    Checks(const Generation& generation, std::vector<RegisterDifference>& out)
        : generation_(generation), out_(out) {}

    void same(std::string_view item, std::uint64_t expected, std::uint64_t found) {
        if (expected != found) {
            out_.push_back({item, expected, found});
        }
    }
    // `defective`: what is found if the kernel has the defect of this sign.
    void same_or(std::string_view item, std::uint64_t expected, std::uint64_t found, Sign sign,
                 std::uint64_t defective) {
        if (expected == found) {
            return;
        }
        RegisterDifference difference{item, expected, found};
        if (found == defective) {
            difference.known = known_defect(generation_, sign);
            if (difference.known == nullptr) {
                difference.resembles = resembled_defect(generation_, sign);
            }
        }
        out_.push_back(difference);
    }
    void table(std::string_view base, std::string_view limit, const DescriptorTable& expected,
               const DescriptorTable& found) {
        same(base, expected.base, found.base);
        same(limit, expected.limit, found.limit);
    }
    void selectors(const CpuState& expected, const CpuState& found) {
        same("cs", expected.cs, found.cs);
        same("ds", expected.ds, found.ds);
        same("es", expected.es, found.es);
        same("ss", expected.ss, found.ss);
        same("fs", expected.fs, found.fs);
        same("gs", expected.gs, found.gs);
    }

  private:
    const Generation& generation_;
    std::vector<RegisterDifference>& out_;
};

// A word of guest memory; all ones, as an empty bus reads, where there is no RAM.
std::uint64_t word_at(const memory::GuestRam& ram, std::uint64_t gpa, kimage::Word word) {
    if (word == kimage::Word::k32) {
        const auto value = ram.read_value<std::uint32_t>(Gpa{gpa});
        return value ? *value : UINT32_MAX;
    }
    const auto value = ram.read_value<std::uint64_t>(Gpa{gpa});
    return value ? *value : UINT64_MAX;
}

void check_preserved_stack(Checks& checks, const Generation& generation, const Entry& entry,
                           const CpuState& found, const memory::GuestRam& ram) {
    const std::uint64_t word = kimage::bytes_of(generation.word());
    const std::uint64_t top = entry.swap_page.raw + kPageSize;
    const std::uint64_t rsp = found.gpr[kRsp];
    checks.same_or("rsp", top - 2 * word, rsp, Sign::kNoReentrySlot, top - word);
    // The way back leads into the control page, at its physical address.
    const std::uint64_t back = word_at(ram, rsp, generation.word());
    if (back - entry.control_page.raw >= entry.code_size.raw) {
        checks.same("return address", entry.control_page.raw, back);
    }
    if (rsp == top - 2 * word) {
        checks.same("word above the return address", entry.start,
                    word_at(ram, rsp + word, generation.word()));
    }
    checks.same("rdx", entry.start, found.gpr[kRdx]);
}

void check_plain_stack(Checks& checks, const Generation& generation, const Entry& entry,
                       const CpuState& found, const memory::GuestRam& ram) {
    const std::uint64_t word = kimage::bytes_of(generation.word());
    const std::uint64_t top = entry.control_page.raw + kPageSize;
    const std::uint64_t rsp = found.gpr[kRsp];
    checks.same_or("rsp", top - word, rsp, Sign::kNoZeroWord, top);
    if (rsp == top - word) {
        checks.same("word at the stack pointer", 0, word_at(ram, rsp, generation.word()));
    }
    for (const NamedGpr& gpr : kNotRsp) {
        checks.same(gpr.name, 0, found.gpr[gpr.number]);
    }
}

}  // namespace

void check_callee_entry(const Generation& generation, const Entry& entry, const CpuState& at_call,
                        const CpuState& found, const memory::GuestRam& ram,
                        std::vector<RegisterDifference>& out) {
    Checks checks(generation, out);
    checks.same("rip", entry.start, found.rip);
    if (entry.preserve) {
        check_preserved_stack(checks, generation, entry, found, ram);
    } else {
        check_plain_stack(checks, generation, entry, found, ram);
    }
    checks.same("rflags", kFlagReserved, found.rflags & ~kStatusFlags);
    checks.same("cr0", generation.callee_cr0(at_call.cr0), found.cr0);
    checks.same("cr3", generation.paging_off() ? 0 : entry.table_root, found.cr3);
    checks.same("cr4", generation.callee_cr4(at_call.cr4, entry.has_pae), found.cr4);
    DescriptorTable gdt = at_call.gdtr;
    DescriptorTable idt = at_call.idtr;
    if (generation.debug_tables) {
        gdt = entry.debug_gdt;
        idt = entry.debug_idt;
    } else if (generation.invalidates_tables) {
        gdt = {};
        idt = {};
    }
    checks.table("gdtr.base", "gdtr.limit", gdt, found.gdtr);
    checks.table("idtr.base", "idtr.limit", idt, found.idtr);
    checks.selectors(at_call, found);
}

void check_return(const Generation& generation, const Return& way, const CpuState& at_call,
                  const CpuState& found, std::vector<RegisterDifference>& out) {
    Checks checks(generation, out);
    const std::uint64_t word = kimage::bytes_of(generation.word());
    checks.same("rip", way.return_address, found.rip);
    checks.same("rsp", at_call.gpr[kRsp] + word, found.gpr[kRsp]);
    if (generation.isa == Isa::kX86_64) {
        for (const NamedGpr& gpr : kCalleeSaved64) {
            checks.same(gpr.name, at_call.gpr[gpr.number], found.gpr[gpr.number]);
        }
    } else {
        for (const NamedGpr& gpr : kCalleeSaved32) {
            checks.same(gpr.name, at_call.gpr[gpr.number], found.gpr[gpr.number]);
        }
    }
    checks.same_or("re-entry word", way.reentry, found.gpr[kRax], Sign::kNoReentrySlot,
                   way.reentry_without_slot.value_or(way.reentry));
    checks.same("rflags", at_call.rflags, found.rflags);
    checks.same("cr0", at_call.cr0, found.cr0);
    checks.same("cr3", at_call.cr3, found.cr3);
    checks.same("cr4", at_call.cr4, found.cr4);
    checks.same_or("gdtr.base", way.saved_gdt.base, found.gdtr.base, Sign::kGdtNotReloaded,
                   way.callee.gdtr.base);
    checks.same_or("gdtr.limit", way.saved_gdt.limit, found.gdtr.limit, Sign::kGdtNotReloaded,
                   way.callee.gdtr.limit);
    // restore_processor_state() loads the IDT; until then it is whatever the callee left.
    checks.table("idtr.base", "idtr.limit", way.callee.idtr, found.idtr);
    checks.selectors(way.callee, found);
}

}  // namespace jumpback::relocate
