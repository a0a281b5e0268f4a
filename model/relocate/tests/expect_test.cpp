// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/expect.h"

#include <gtest/gtest.h>

#include <cstring>

#include "model/relocate/cpu_bits.h"

namespace jumpback::relocate {
namespace {

constexpr std::uint64_t kControl = 0x4000;
constexpr std::uint64_t kSwap = 0x5000;
constexpr std::uint64_t kStart = 0x1230;
constexpr std::uint64_t kReturnPoint = kControl + 0xfb;

// A machine of eight pages and the states that a sound relocate_kernel shows.
class ExpectTest : public testing::Test {
  protected:
    ExpectTest() : bytes_(8 * kPageSize), ram_(memory::GuestRam::create(bytes_, {}).value()) {}

    void use(std::string_view release, Isa isa = Isa::kX86_64) {
        generation_ = find_generation(release, isa).value().generation;
        word_ = kimage::bytes_of(generation_->word());
        entry_ = {true, kStart, Gpa{kControl}, Bytes{2048}, Gpa{kSwap}, 0x3000, true, {}, {}};
        if (generation_->debug_tables) {
            entry_.debug_gdt = {kControl + 0x460, 0x1f};
            entry_.debug_idt = {kControl + 0x480, 0xff};
        }
        call_ = {};
        for (unsigned number = 0; number < kGprs; ++number) {
            call_.gpr[number] = 0x1000 + number;
        }
        call_.rflags = 0x46;
        call_.cr0 = 0x80050033;
        call_.cr3 = 0x7000;
        call_.cr4 = 0xa0;
        if (generation_->invalidates_tables) {
            call_.gdtr = {0xfffffe0000001000U, 0x7f};
            call_.idtr = {0xfffffe0000000000U, 0xfff};
        }
        call_.cs = 0x10;
        call_.ds = call_.es = call_.ss = 0x18;
    }
    void put(std::uint64_t gpa, std::uint64_t value) {
        std::memcpy(bytes_.data() + gpa, &value, word_);
    }
    CpuState sound_entry() {
        CpuState cpu = call_;
        cpu.rip = entry_.start;
        cpu.rflags = kFlagReserved | 0x44;
        cpu.cr0 = generation_->callee_cr0(call_.cr0);
        cpu.cr4 = generation_->callee_cr4(call_.cr4, true);
        cpu.cr3 = generation_->paging_off() ? 0 : entry_.table_root;
        if (generation_->invalidates_tables) {
            cpu.gdtr = entry_.debug_gdt;
            cpu.idtr = entry_.debug_idt;
        }
        if (entry_.preserve) {
            cpu.gpr[kRdx] = entry_.start;
            cpu.gpr[kRsp] = kSwap + kPageSize - generation_->callee_stack_words() * word_;
            put(cpu.gpr[kRsp], kReturnPoint);
            if (generation_->reentry_slot) {
                put(cpu.gpr[kRsp] + word_, entry_.start);
            }
        } else {
            cpu.gpr.fill(0);
            cpu.gpr[kRsp] = kControl + kPageSize - word_;
            put(cpu.gpr[kRsp], 0);
        }
        return cpu;
    }
    std::vector<RegisterDifference> at_entry(const CpuState& cpu) {
        std::vector<RegisterDifference> out;
        check_callee_entry(*generation_, entry_, call_, cpu, ram_, out);
        return out;
    }
    Return way_back() {
        Return way;
        way.callee = call_;
        way.callee.gdtr = {0xabc000, 0x3f};
        way.callee.idtr = {0xdef000, 0x7ff};
        way.saved_gdt = {0xfffffe0000001000U, 0x7f};
        way.return_address = 0x8888;
        way.reentry = 0x4321;
        return way;
    }
    CpuState sound_return(const Return& way) {
        CpuState cpu = call_;
        cpu.rip = way.return_address;
        cpu.gpr[kRsp] += word_;
        cpu.gpr[kRax] = way.reentry;
        cpu.gpr[kRcx] = 0x666;  // the caller's to lose
        cpu.idtr = way.callee.idtr;
        cpu.gdtr = generation_->gdt_reloaded ? way.saved_gdt : way.callee.gdtr;
        return cpu;
    }
    std::vector<RegisterDifference> at_return(const Return& way, const CpuState& cpu) {
        std::vector<RegisterDifference> out;
        check_return(*generation_, way, call_, cpu, out);
        return out;
    }

    std::vector<std::byte> bytes_;
    memory::GuestRam ram_;
    const Generation* generation_ = nullptr;
    std::uint64_t word_ = 8;
    Entry entry_;
    CpuState call_;
};

std::string items(const std::vector<RegisterDifference>& differences) {
    std::string text;
    for (const RegisterDifference& difference : differences) {
        text += (text.empty() ? "" : " ") + std::string(difference.item);
    }
    return text;
}

TEST_F(ExpectTest, SoundEntriesPass) {
    for (const char* release : {"6.18", "7.2", "7.3"}) {
        use(release);
        EXPECT_EQ(items(at_entry(sound_entry())), "") << release;
    }
    for (const char* release : {"5.10", "6.1", "6.12", "7.2"}) {
        for (const Isa isa : {Isa::kX86_64, Isa::kI386}) {
            use(release, isa);
            entry_.preserve = false;
            EXPECT_EQ(items(at_entry(sound_entry())), "") << release;
        }
    }
}

TEST_F(ExpectTest, MissingSlotIsKnownWhereTheGenerationLacksIt) {
    for (const Isa isa : {Isa::kX86_64, Isa::kI386}) {
        use("6.12", isa);
        const auto found = at_entry(sound_entry());
        ASSERT_EQ(items(found), "rsp");
        ASSERT_NE(found[0].known, nullptr);
        EXPECT_EQ(found[0].known->id, isa == Isa::kI386 ? "D3" : "B5");
        EXPECT_EQ(found[0].expected, kSwap + kPageSize - 2 * word_);
    }
    use("7.2");
    CpuState cpu = sound_entry();
    cpu.gpr[kRsp] += 8;
    put(cpu.gpr[kRsp], kReturnPoint);
    const auto found = at_entry(cpu);
    ASSERT_EQ(items(found), "rsp");
    EXPECT_EQ(found[0].known, nullptr);
    ASSERT_NE(found[0].resembles, nullptr);
    EXPECT_EQ(found[0].resembles->id, "B5");
}

TEST_F(ExpectTest, StackOutsideTheSwapPageIsNews) {
    use("6.1");
    CpuState cpu = sound_entry();
    cpu.gpr[kRsp] = kSwap + kPageSize;
    put(cpu.gpr[kRsp], kReturnPoint);
    const auto found = at_entry(cpu);
    ASSERT_EQ(items(found), "rsp");
    EXPECT_EQ(found[0].known, nullptr);
}

TEST_F(ExpectTest, StackWordsAreChecked) {
    use("7.2");
    CpuState cpu = sound_entry();
    put(cpu.gpr[kRsp] + 8, kStart + 1);
    EXPECT_EQ(items(at_entry(cpu)), "word above the return address");
    put(cpu.gpr[kRsp] + 8, kStart);
    put(cpu.gpr[kRsp], kControl + 2048);
    EXPECT_EQ(items(at_entry(cpu)), "return address");
    entry_.preserve = false;
    cpu = sound_entry();
    put(cpu.gpr[kRsp], 1);
    EXPECT_EQ(items(at_entry(cpu)), "word at the stack pointer");
}

TEST_F(ExpectTest, MissingZeroWordIsRecognised) {
    use("7.2");
    entry_.preserve = false;
    CpuState cpu = sound_entry();
    cpu.gpr[kRsp] = kControl + kPageSize;
    const auto found = at_entry(cpu);
    ASSERT_EQ(items(found), "rsp");
    ASSERT_NE(found[0].resembles, nullptr);
    EXPECT_EQ(found[0].resembles->id, "B6");
}

TEST_F(ExpectTest, EveryRegisterOfTheEntryIsChecked) {
    use("7.2");
    entry_.preserve = false;
    for (unsigned number = 0; number < kGprs; ++number) {
        CpuState cpu = sound_entry();
        cpu.gpr[number] ^= 0x10;
        EXPECT_EQ(at_entry(cpu).size(), 1U) << number;
    }
    const auto broken = [&](auto change) {
        CpuState cpu = sound_entry();
        change(cpu);
        return items(at_entry(cpu));
    };
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.rip ^= 1; }), "rip");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.rflags |= 0x200; }), "rflags");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.rflags |= 0x400; }), "rflags");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.cr0 |= kCr0Wp; }), "cr0");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.cr3 = 0x7000; }), "cr3");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.cr4 |= 0x80; }), "cr4");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.gdtr.base = 0; }), "gdtr.base");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.gdtr.limit = 0; }), "gdtr.limit");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.idtr.base = 0; }), "idtr.base");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.idtr.limit = 0; }), "idtr.limit");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.cs = 8; }), "cs");
    EXPECT_EQ(broken([](CpuState& cpu) { cpu.gs = 8; }), "gs");
}

TEST_F(ExpectTest, SoundReturnsPass) {
    for (const char* release : {"6.12", "6.18", "7.2"}) {
        use(release);
        const Return way = way_back();
        EXPECT_EQ(items(at_return(way, sound_return(way))), "") << release;
    }
}

TEST_F(ExpectTest, GdtIsKnownBadWhereTheGenerationForgetsIt) {
    for (const Isa isa : {Isa::kX86_64, Isa::kI386}) {
        use("6.1", isa);
        const Return way = way_back();
        const auto found = at_return(way, sound_return(way));
        ASSERT_EQ(items(found), "gdtr.base gdtr.limit");
        for (const RegisterDifference& difference : found) {
            ASSERT_NE(difference.known, nullptr);
            EXPECT_EQ(difference.known->id, isa == Isa::kI386 ? "D1" : "B7");
        }
        // Neither the saved GDT nor the callee's: news, even here.
        CpuState cpu = sound_return(way);
        cpu.gdtr.base = 0x777;
        EXPECT_EQ(at_return(way, cpu).at(0).known, nullptr);
    }
    use("7.2");
    const Return way = way_back();
    CpuState cpu = sound_return(way);
    cpu.gdtr = way.callee.gdtr;
    const auto found = at_return(way, cpu);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].known, nullptr);
    EXPECT_EQ(found[0].resembles->id, "B7");
}

TEST_F(ExpectTest, ReentryWord) {
    use("6.12");
    Return way = way_back();
    way.reentry_without_slot = 0x9999;
    CpuState cpu = sound_return(way);
    cpu.gpr[kRax] = 0x9999;
    auto found = at_return(way, cpu);
    ASSERT_EQ(items(found), "re-entry word");
    ASSERT_NE(found[0].known, nullptr);
    EXPECT_EQ(found[0].known->id, "B5");
    cpu.gpr[kRax] = 0x9998;
    found = at_return(way, cpu);
    ASSERT_EQ(items(found), "re-entry word");
    EXPECT_EQ(found[0].known, nullptr);
}

TEST_F(ExpectTest, EveryRegisterOfTheReturnIsChecked) {
    for (const Isa isa : {Isa::kX86_64, Isa::kI386}) {
        use("7.2", isa);
        const Return way = way_back();
        const std::size_t known = at_return(way, sound_return(way)).size();
        const auto news = [&](auto change) {
            CpuState cpu = sound_return(way);
            change(cpu);
            return at_return(way, cpu).size() - known;
        };
        const std::vector<Gpr> saved = isa == Isa::kI386
                                           ? std::vector<Gpr>{kRbx, kRsi, kRdi, kRbp}
                                           : std::vector<Gpr>{kRbx, kRbp, kR12, kR13, kR14, kR15};
        for (const Gpr number : saved) {
            EXPECT_EQ(news([&](CpuState& cpu) { cpu.gpr[number] ^= 1; }), 1U) << number;
        }
        EXPECT_EQ(news([](CpuState& cpu) { cpu.gpr[kRax] ^= 1; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.gpr[kRsp] ^= 1; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.gpr[kRcx] ^= 1; }), 0U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.rip ^= 1; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.rflags ^= 0x40; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.cr0 ^= kCr0Wp; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.cr3 ^= 0x1000; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.cr4 ^= 0x80; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.idtr.base ^= 1; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.idtr.limit ^= 1; }), 1U);
        EXPECT_EQ(news([](CpuState& cpu) { cpu.ss ^= 8; }), 1U);
    }
}

}  // namespace
}  // namespace jumpback::relocate
