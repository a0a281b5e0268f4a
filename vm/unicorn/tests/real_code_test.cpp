// SPDX-License-Identifier: GPL-2.0-or-later
//
// The machine under the real relocate_kernel of every built kernel, on every board: what the code
// does must be what reference notes and sources say, and changes to it must show.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <tuple>

#include "kernel_under_test.h"
#include "machine_case.h"

namespace jumpback::unicorn {
namespace {

using relocate::CpuState;

constexpr std::size_t kPairs = 6;
constexpr std::uint64_t kArena = 32;

std::string describe(const Stop& stop) {
    return "stopped (" + std::to_string(static_cast<int>(stop.reason)) + ") " + stop.what;
}

class RealCodeTest : public ::testing::TestWithParam<std::tuple<const char*, unsigned>> {
  protected:
    void SetUp() override {
        const auto& code = test::code_of(std::get<0>(GetParam()));
        if (!code) {
            GTEST_SKIP() << std::get<0>(GetParam()) << " is not built in "
                         << test::cache_folder().string();
        }
        ASSERT_TRUE(code->ok()) << code->error().message();
        code_ = code->value();
    }
    [[nodiscard]] bool wide() const { return code_.arch == Arch::x86_64; }
    [[nodiscard]] bool new_convention() const {
        return code_.convention == Convention::kX86_64Flags;
    }
    // Of the re-entry word: mainline has it from 6.14 on, our series brings it to the others.
    [[nodiscard]] bool has_slot() const {
        const std::string name = std::get<0>(GetParam());
        return new_convention() || name.find("-stock") == std::string::npos;
    }
    [[nodiscard]] std::uint64_t word() const { return wide() ? 8 : 4; }

    Result<test::MachineCase> make_case() const {
        return test::make_case(code_, std::get<1>(GetParam()), kArena);
    }
    Result<test::MachineCase> make_case_with(const RelocateCode& code) const {
        return test::make_case(code, std::get<1>(GetParam()), kArena);
    }
    static std::uint64_t stack_word(test::MachineCase& one, std::uint64_t gpa, std::size_t bytes) {
        std::uint64_t value = 0;
        std::memcpy(&value, one.page(Gpa{gpa}) + gpa % kPageSize, bytes);
        return value;
    }

    RelocateCode code_;
};

// kernels.md §1.7: what the callee gets.
void expect_callee_state(const RelocateCode& code, const Board& board, const CpuState& cpu) {
    const bool wide = code.arch == Arch::x86_64;
    constexpr std::uint64_t kArithmetic = 0x8d5;  // OF SF ZF AF PF CF: of the last test
    EXPECT_EQ(cpu.rflags & ~kArithmetic, 2U) << "IF, DF, TF … are clear";
    if (wide) {
        EXPECT_EQ(cpu.cr0 & 0x8005000f, 0x80000003U) << "PG PE MP, no AM WP TS EM";
        EXPECT_EQ(cpu.cr4, 0x20U) << "PAE only";
        EXPECT_EQ(cpu.cr3, board.table_pages.front().raw);
        EXPECT_EQ(cpu.cs, 0x10);
        EXPECT_EQ(cpu.ss, 0x18);
    } else {
        EXPECT_EQ(cpu.cr0 & 0x8005000f, 0x00000003U) << "PE MP, no PG AM WP TS EM";
        EXPECT_EQ(cpu.cr4, 0U);
        EXPECT_EQ(cpu.cr3, 0U);
        EXPECT_EQ(cpu.cs, 0x60);
        EXPECT_EQ(cpu.ss, 0x68);
    }
    if (code.convention == Convention::kX86_64Flags) {
        EXPECT_EQ(cpu.gdtr.base, board.control_page.raw + code.data.at("kexec_debug_gdt"));
        EXPECT_EQ(cpu.idtr.base, board.control_page.raw + code.data.at("kexec_debug_idt"));
        EXPECT_EQ(cpu.idtr.limit, 0xff);
    } else {
        EXPECT_EQ(cpu.gdtr.limit, 0);
        EXPECT_EQ(cpu.idtr.limit, 0);
    }
}

// What C gets back. Stock kernels of 5.10, 6.1 and i386 do not load their GDT again (kernels.md D1,
// D4).
void expect_caller_state(const RelocateCode& code, const CpuState& before, const CpuState& after,
                         std::uint64_t next_entry) {
    const std::uint64_t word = code.arch == Arch::x86_64 ? 8 : 4;
    EXPECT_EQ(after.gpr[relocate::kRax], next_entry);
    EXPECT_EQ(after.gpr[relocate::kRsp], before.gpr[relocate::kRsp] + word);
    EXPECT_EQ(after.gpr[relocate::kRbx], before.gpr[relocate::kRbx]);
    EXPECT_EQ(after.gpr[relocate::kRbp], before.gpr[relocate::kRbp]);
    if (word == 8) {
        for (unsigned i = relocate::kR12; i <= relocate::kR15; ++i) {
            EXPECT_EQ(after.gpr[i], before.gpr[i]) << "r" << i;
        }
    } else {
        EXPECT_EQ(after.gpr[relocate::kRsi], before.gpr[relocate::kRsi]);
        EXPECT_EQ(after.gpr[relocate::kRdi], before.gpr[relocate::kRdi]);
    }
    EXPECT_EQ(after.rflags, before.rflags);
    EXPECT_EQ(after.cr0, before.cr0);
    EXPECT_EQ(after.cr3, before.cr3);
    EXPECT_EQ(after.cr4, before.cr4);
    EXPECT_EQ(after.cs, before.cs);
    EXPECT_EQ(after.ss, before.ss);
    if (code.gdt_descriptor) {
        EXPECT_EQ(after.gdtr.limit, (word == 8 ? 16 : 32) * 8 - 1);  // GDT_ENTRIES
        const std::uint64_t kernel = word == 8 ? std::uint64_t{1} << 63 : 0xc0000000U;
        EXPECT_GT(after.gdtr.base, kernel) << "the kernel's own GDT";
    } else {
        EXPECT_EQ(after.gdtr.limit, 0);
    }
}

TEST_P(RealCodeTest, EmptyListTouchesNoPage) {
    auto made = make_case();
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const auto before = one.all_ram();
    const Call call{test::kDone, one.destination(0).raw, true, false, true};
    ASSERT_TRUE(one.machine().prepare(call).ok());
    const CpuState p0 = one.machine().cpu();
    EXPECT_NE(p0.rip, 0U);

    const Stop p1 = one.machine().run_to_callee();
    ASSERT_EQ(p1.reason, StopReason::kReached) << describe(p1);
    EXPECT_EQ(p1.cpu.rip, call.start);
    expect_callee_state(code_, one.board(), p1.cpu);
    EXPECT_TRUE(one.changed(before).empty());

    CalleeReturn callee;
    callee.next_entry = 0x1234567;
    const Stop p3 = one.machine().run_back(callee);
    ASSERT_EQ(p3.reason, StopReason::kReached) << describe(p3);
    expect_caller_state(code_, p0, p3.cpu, callee.next_entry);
    EXPECT_TRUE(one.changed(before).empty());
}

TEST_P(RealCodeTest, SwapThereAndBackIsAnInvolution) {
    auto made = make_case();
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const std::uint64_t head = one.write_pairs(kPairs);
    const auto before = one.all_ram();
    const auto destination = one.contents(one.destination(2));
    const auto source = one.contents(one.source(2));
    const Call call{head, one.destination(0).raw + 0x10, true, false, true};
    ASSERT_TRUE(one.machine().prepare(call).ok());

    const Stop p1 = one.machine().run_to_callee();
    ASSERT_EQ(p1.reason, StopReason::kReached) << describe(p1);
    EXPECT_EQ(one.contents(one.destination(2)), source);
    EXPECT_EQ(one.contents(one.source(2)), destination);
    EXPECT_EQ(one.changed(before).size(), 2 * kPairs);
    // The callee's stack: return address, and above it its own entry, if there is a slot for it.
    const std::uint64_t top = one.board().swap_page.raw + kPageSize;
    EXPECT_EQ(p1.cpu.gpr[relocate::kRsp], top - (has_slot() ? 2 : 1) * word());
    const std::uint64_t back = stack_word(one, p1.cpu.gpr[relocate::kRsp], word());
    EXPECT_EQ(pfn_of(Gpa{back}), pfn_of(one.board().control_page));
    if (has_slot()) {
        EXPECT_EQ(stack_word(one, top - word(), word()), call.start);
    }

    const Stop p3 = one.machine().run_back(CalleeReturn());
    ASSERT_EQ(p3.reason, StopReason::kReached) << describe(p3);
    EXPECT_TRUE(one.changed(before).empty());
}

TEST_P(RealCodeTest, WhatTheCalleeWritesGoesToTheSourcePages) {
    auto made = make_case();
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const Call call{one.write_pairs(kPairs), one.destination(0).raw, true, false, true};
    const auto before = one.all_ram();
    ASSERT_TRUE(one.machine().prepare(call).ok());
    ASSERT_EQ(one.machine().run_to_callee().reason, StopReason::kReached);
    std::memset(one.page(one.destination(1)), 0x5a, kPageSize);
    const Stop p3 = one.machine().run_back(CalleeReturn());
    ASSERT_EQ(p3.reason, StopReason::kReached) << describe(p3);
    EXPECT_EQ(one.changed(before), std::vector<Gpa>{one.source(1)});
    EXPECT_EQ(one.contents(one.source(1)), std::vector<std::byte>(kPageSize, std::byte{0x5a}));
}

TEST_P(RealCodeTest, PlainKexecZeroesRegistersAndTheWordAboveStart) {
    auto made = make_case();
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const auto destination = one.contents(one.destination(0));
    const auto source = one.contents(one.source(0));
    const Call call{one.write_pairs(kPairs), one.destination(3).raw, false, true, true};
    ASSERT_TRUE(one.machine().prepare(call).ok());
    const Stop p1 = one.machine().run_to_callee();
    ASSERT_EQ(p1.reason, StopReason::kReached) << describe(p1);
    expect_callee_state(code_, one.board(), p1.cpu);
    for (unsigned i = 0; i < relocate::kGprs; ++i) {
        if (i != relocate::kRsp) {
            EXPECT_EQ(p1.cpu.gpr[i], 0U) << "register " << i;
        }
    }
    const std::uint64_t stack = p1.cpu.gpr[relocate::kRsp];
    EXPECT_EQ(stack, one.board().control_page.raw + kPageSize - word());
    EXPECT_EQ(stack_word(one, stack, word()), 0U);
    EXPECT_EQ(one.contents(one.destination(0)), source);
    // Only from 6.14 on plain kexec copies; before, and on i386, it swaps as well.
    EXPECT_EQ(one.contents(one.source(0)), new_convention() ? source : destination);
}

TEST_P(RealCodeTest, ManyCasesOnOneMachineStayApart) {
    auto made = make_case();
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const std::uint32_t seed = 20260101;
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (unsigned round = 0; round < 60; ++round) {
        one.fill(random());
        const std::size_t pairs = random() % (kArena / 2 - 2);
        const Call call{one.write_pairs(pairs), one.destination(random() % 8).raw + random() % 4096,
                        random() % 4 != 0, random() % 2 == 0, true};
        const auto before = one.all_ram();
        ASSERT_TRUE(one.machine().prepare(call).ok());
        const CpuState p0 = one.machine().cpu();
        const Stop p1 = one.machine().run_to_callee();
        ASSERT_EQ(p1.reason, StopReason::kReached) << describe(p1);
        EXPECT_EQ(one.changed(before).size(), (call.preserve || !new_convention() ? 2 : 1) * pairs);
        if (!call.preserve) {
            continue;
        }
        CalleeReturn callee;
        callee.next_entry = random();
        const Stop p3 = one.machine().run_back(callee);
        ASSERT_EQ(p3.reason, StopReason::kReached) << describe(p3);
        expect_caller_state(code_, p0, p3.cpu, callee.next_entry);
        EXPECT_TRUE(one.changed(before).empty());
    }
}

TEST_P(RealCodeTest, TraceTellsEveryWrite) {
    auto made = make_case();
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const Call call{one.write_pairs(3), one.destination(0).raw, true, false, true};
    ASSERT_TRUE(one.machine().prepare(call).ok());
    auto before = one.all_ram();
    std::vector<Step> steps;
    std::vector<TracedWrite> writes;
    const Stop p1 = one.machine().run_to_callee(steps, writes);
    ASSERT_EQ(p1.reason, StopReason::kReached) << describe(p1);
    ASSERT_FALSE(steps.empty());
    EXPECT_EQ(steps.front().link, code_.entry.raw);
    for (const Step& step : steps) {
        EXPECT_GE(step.link, code_.begin.raw) << step.text;
        EXPECT_LT(step.link, code_.begin.raw + code_.code_size) << step.text;
    }
    // The writes alone lead from RAM at P0 to RAM at P1.
    for (const TracedWrite& write : writes) {
        ASSERT_LT(write.step, steps.size());
        std::byte* to = one.page(write.gpa);
        ASSERT_NE(to, nullptr);
        const std::ptrdiff_t at = to - one.machine().ram().buffer().data();
        std::memcpy(before.data() + at + write.gpa.raw % kPageSize, &write.value, write.size.raw);
    }
    EXPECT_EQ(before, one.all_ram());
    // An untraced run ends in the same state.
    ASSERT_TRUE(one.machine().prepare(call).ok());
    one.fill(0);
    one.write_pairs(3);
    const Stop again = one.machine().run_to_callee();
    ASSERT_EQ(again.reason, StopReason::kReached) << describe(again);
    EXPECT_EQ(again.cpu, p1.cpu);
    EXPECT_EQ(before, one.all_ram());
}

TEST_P(RealCodeTest, AMissingLgdtShows) {
    if (!code_.gdt_descriptor) {
        GTEST_SKIP() << "this kernel loads no GDT on the way back";
    }
    RelocateCode broken = code_;
    const auto from =
        broken.blob.begin() + static_cast<std::ptrdiff_t>(broken.labels.at("virtual_mapped"));
    // lgdt with a 32-bit displacement: to RAX from 6.12 on, else to RIP, or (i386) to nothing.
    const auto is_lgdt = [](const std::byte& at) {
        const std::byte* code = &at;
        return code[0] == std::byte{0x0f} && code[1] == std::byte{0x01} &&
               (code[2] == std::byte{0x90} || code[2] == std::byte{0x15});
    };
    ASSERT_GE(broken.blob.end() - from, 7);
    const auto found = std::find_if(from, broken.blob.end() - 6, is_lgdt);
    ASSERT_NE(found, broken.blob.end() - 6);
    std::fill(found, found + 7, std::byte{0x90});
    auto made = make_case_with(broken);
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const Call call{one.write_pairs(1), one.destination(0).raw, true, false, true};
    ASSERT_TRUE(one.machine().prepare(call).ok());
    const Stop p1 = one.machine().run_to_callee();
    ASSERT_EQ(p1.reason, StopReason::kReached) << describe(p1);
    CalleeReturn callee;
    callee.cpu.gdtr = {0x4000, 0x1f};
    const Stop p3 = one.machine().run_back(callee);
    ASSERT_EQ(p3.reason, StopReason::kReached) << describe(p3);
    EXPECT_EQ(p3.cpu.gdtr, callee.cpu.gdtr) << "the callee's GDT stays loaded";
}

TEST_P(RealCodeTest, AFirstInstructionThatIsNoneIsAFaultThatNamesIt) {
    RelocateCode broken = code_;
    const std::uint64_t at = broken.labels.at("swap_pages");
    broken.blob[at] = std::byte{0x0f};  // ud2
    broken.blob[at + 1] = std::byte{0x0b};
    auto made = make_case_with(broken);
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const Call call{one.write_pairs(1), one.destination(0).raw, true, false, true};
    for (unsigned round = 0; round < 2; ++round) {
        ASSERT_TRUE(one.machine().prepare(call).ok()) << "usable after a fault";
        const Stop stop = one.machine().run_to_callee();
        EXPECT_EQ(stop.reason, StopReason::kFault);
        EXPECT_NE(stop.what.find("invalid instruction"), std::string::npos) << stop.what;
        EXPECT_NE(stop.what.find("(swap_pages)"), std::string::npos) << stop.what;
    }
}

TEST_P(RealCodeTest, ADestinationOutsideRamIsAFaultThatNamesTheCopy) {
    auto made = make_case();
    ASSERT_TRUE(made.ok()) << made.error().message();
    test::MachineCase& one = made.value();
    const std::uint64_t hole = one.destination(0).raw + 0x100000;
    ASSERT_EQ(one.page(Gpa{hole}), nullptr);
    const std::uint64_t head =
        one.write_list(one.frames().front(),
                       {hole | test::kDestination, one.source(0).raw | test::kSource, test::kDone});
    ASSERT_TRUE(one.machine().prepare({head, one.destination(0).raw, true, false, true}).ok());
    const Stop stop = one.machine().run_to_callee();
    EXPECT_EQ(stop.reason, StopReason::kFault);
    EXPECT_NE(stop.what.find("rep movs"), std::string::npos) << stop.what;
    EXPECT_NE(stop.what.find("swap_pages+"), std::string::npos) << stop.what;
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<const char*, unsigned>>& info) {
    std::string name = std::get<0>(info.param);
    for (char& letter : name) {
        if (std::isalnum(static_cast<unsigned char>(letter)) == 0) {
            letter = '_';
        }
    }
    return name + "_board" + std::to_string(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, RealCodeTest,
    ::testing::Combine(::testing::Values("5.10-x86_64", "6.1-x86_64", "6.1-stock-x86_64",
                                         "6.12-x86_64", "6.12-stock-x86_64", "7.2-x86_64",
                                         "7.3-x86_64", "6.1-i386", "6.1-stock-i386"),
                       ::testing::Range(0U, kBoards)),
    name_of);

}  // namespace
}  // namespace jumpback::unicorn
