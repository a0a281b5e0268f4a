// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/describe.h"

#include <array>
#include <cstdio>

namespace jumpback::unicorn {

namespace {

std::string hex(std::uint64_t value) {
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(value));
    return text.data();
}

const char* exception_name(unsigned vector) {
    static constexpr std::array<const char*, 20> kNames = {
        "#DE divide error",
        "#DB debug",
        "NMI",
        "#BP breakpoint (int3)",
        "#OF overflow",
        "#BR bound range",
        "#UD invalid opcode",
        "#NM no FPU",
        "#DF double fault",
        "vector 9",
        "#TS invalid TSS",
        "#NP segment not present",
        "#SS stack segment",
        "#GP general protection",
        "#PF page fault",
        "vector 15",
        "#MF FPU error",
        "#AC alignment check",
        "#MC machine check",
        "#XM SIMD error",
    };
    return vector < kNames.size() ? kNames[vector] : "interrupt";
}

}  // namespace

std::span<const std::byte> Describer::bytes_at(std::uint64_t rip) const {
    const Gpa gpa = layout_.to_gpa(rip);
    const std::byte* page = ram_.page_or_null(pfn_of(gpa));
    if (page == nullptr) {
        return {};
    }
    const std::uint64_t offset = gpa.raw % kPageSize;
    return {page + offset, kPageSize - offset};
}

std::uint64_t Describer::link_of(std::uint64_t rip) const {
    const Gpa gpa = layout_.to_gpa(rip);
    if (pfn_of(gpa) != pfn_of(layout_.board.control_page)) {
        return 0;
    }
    std::uint64_t offset = gpa.raw % kPageSize;
    // Kernel text keeps its offset in the page; the copy starts at the page's first byte.
    if (rip - code_.begin.raw < code_.blob.size()) {
        offset = rip - code_.begin.raw;
    }
    return offset < code_.blob.size() ? code_.begin.raw + offset : 0;
}

std::string Describer::place(std::uint64_t rip) const {
    const std::uint64_t link = link_of(rip);
    if (link == 0) {
        return hex(rip);
    }
    return hex(rip) + " (" + code_.place(link - code_.begin.raw) + ")";
}

std::optional<Instruction> Describer::instruction(std::uint64_t rip) const {
    return disassembler_.at(bytes_at(rip), rip);
}

std::string Describer::at(std::uint64_t rip) const {
    const std::optional<Instruction> found = instruction(rip);
    return " at " + place(rip) + (found ? ": " + found->text : "");
}

std::string Describer::access(const Outcome& outcome, bool exact_rip) const {
    if (outcome.access == AccessKind::kFetch) {
        const bool ram = ram_.page_or_null(pfn_of(layout_.to_gpa(outcome.address))) != nullptr;
        return "jump to " + hex(outcome.address) +
               (ram ? ", a page without code of relocate_kernel" : ", where nothing is");
    }
    std::string text =
        std::string(outcome.access == AccessKind::kWrite ? "write of " : "read of ") +
        std::to_string(outcome.size) + " bytes at " + hex(outcome.address) + ", where nothing is,";
    if (exact_rip) {
        return text + at(outcome.cpu.rip);
    }
    const std::optional<Instruction> culprit = disassembler_.accessing(
        bytes_at(outcome.cpu.rip), outcome.cpu.rip, outcome.cpu, outcome.address);
    if (culprit) {
        return text + " at " + place(culprit->address) + ": " + culprit->text;
    }
    return text + " in the block at " + place(outcome.cpu.rip);
}

std::string Describer::exception(const Outcome& outcome) const {
    std::string text = exception_name(outcome.vector);
    if (outcome.vector >= 20) {
        text += " " + std::to_string(outcome.vector);
    }
    if (outcome.vector == 14) {
        text += " for " + hex(outcome.address);
    }
    const std::uint64_t gate = code_.arch == Arch::x86_64 ? 16 : 8;  // bytes
    const bool handled = outcome.cpu.idtr.limit >= (outcome.vector + 1) * gate - 1;
    text += handled ? "" : ", no IDT: triple fault";
    return text + at(outcome.cpu.rip);
}

std::string Describer::what(const Outcome& outcome, bool exact_rip) const {
    switch (outcome.end) {
        case RunEnd::kReached:
            break;
        case RunEnd::kAccess:
            return access(outcome, exact_rip);
        case RunEnd::kException:
            return exception(outcome);
        case RunEnd::kInvalid:
            return "invalid instruction" + at(outcome.cpu.rip);
        case RunEnd::kHalt:
            // Unicorn takes a jump to 0 for the end of the run.
            return outcome.cpu.rip == 0 ? "jump to 0x0" : "halted before " + place(outcome.cpu.rip);
        case RunEnd::kStuck:
            return "still running at " + place(outcome.cpu.rip) + " when its CPU time was used up";
        case RunEnd::kOther:
            return "Unicorn: " + outcome.error + at(outcome.cpu.rip);
    }
    return "";
}

}  // namespace jumpback::unicorn
