// SPDX-License-Identifier: GPL-2.0-or-later
//
// The order inside machine_kexec().
#include <gtest/gtest.h>

#include "model/jump/tests/jump_fixture.h"

namespace jumpback::jump::test {
namespace {

using S = Step;
using Steps = std::vector<Step>;

Trace machine(const Kernel& kernel, Branch branch = Branch::jump) {
    return as_trace(expected_machine_trace(kernel, branch), kernel.version);
}
Steps order(KernelVersion version, Arch arch, Branch branch = Branch::jump) {
    return steps_of(expected_machine_trace({version, arch, {}}, branch));
}

TEST(MachineKexecTest, OrderByVersion) {
    const Steps old{S::save_processor_state, S::disable_irqs,           S::disable_breakpoints,
                    S::clear_io_apic,        S::restore_boot_irq_mode,  S::copy_control_code,
                    S::load_segments,        S::invalidate_idt,         S::invalidate_gdt,
                    S::relocate_kernel,      S::restore_processor_state};
    for (const KernelVersion version : kVersions) {
        EXPECT_EQ(order(version, Arch::i386), old) << to_string(version);
    }
    Steps with_cet = old;
    with_cet.insert(with_cet.begin() + 3, S::disable_cet);
    EXPECT_EQ(order({6, 1}, Arch::x86_64), with_cet);
    EXPECT_EQ(order({6, 12}, Arch::x86_64), with_cet);
    Steps v5_10 = old;
    std::swap(v5_10[7], v5_10[8]);  // GDT first
    EXPECT_EQ(order({5, 10}, Arch::x86_64), v5_10);
    // relocate_kernel copies nothing and invalidates the tables itself.
    const Steps v7{S::save_processor_state, S::disable_irqs,    S::disable_breakpoints,
                   S::disable_cet,          S::clear_io_apic,   S::restore_boot_irq_mode,
                   S::load_segments,        S::relocate_kernel, S::restore_processor_state};
    EXPECT_EQ(order({7, 2}, Arch::x86_64), v7);
    EXPECT_EQ(order({7, 3}, Arch::x86_64), v7);
}

TEST(MachineKexecTest, PlainKexecKeepsNothing) {
    EXPECT_EQ(order({7, 2}, Arch::x86_64, Branch::plain),
              (Steps{S::disable_irqs, S::disable_breakpoints, S::disable_cet, S::load_segments,
                     S::relocate_kernel}));
}

TEST(MachineKexecTest, CorrectOnesMatch) {
    for (const Kernel& kernel : kernels()) {
        for (const Branch branch : {Branch::jump, Branch::plain}) {
            EXPECT_EQ(judge_machine(kernel, branch, machine(kernel, branch)).outcome,
                      Outcome::match);
        }
    }
}

// Virtual wire set up, then the pin cleared that carries it.
TEST(MachineKexecTest, BootIrqModeBeforeIoApicIsBlamed) {
    for (const Kernel& kernel : kernels()) {
        Trace trace = machine(kernel);
        const std::size_t at = place_of(trace, S::clear_io_apic);
        std::swap(trace.steps[at], trace.steps[at + 1]);
        const Judgement judged = judge_machine(kernel, Branch::jump, trace);
        ASSERT_EQ(judged.outcome, Outcome::divergence);
        EXPECT_EQ(judged.divergence->kind, DivergenceKind::out_of_order);
        EXPECT_EQ(judged.divergence->position, at);
        EXPECT_EQ(judged.divergence->expected, "clear-io-apic (clear_IO_APIC)");
    }
}

TEST(MachineKexecTest, EveryDroppedSwappedOrDoubledStepIsCaught) {
    for (const Kernel& kernel : kernels()) {
        const Trace good = machine(kernel);
        for (std::size_t at = 0; at < good.steps.size(); ++at) {
            Trace dropped = good;
            dropped.steps.erase(dropped.steps.begin() + static_cast<std::ptrdiff_t>(at));
            const Judgement judged = judge_machine(kernel, Branch::jump, dropped);
            ASSERT_EQ(judged.outcome, Outcome::divergence);
            EXPECT_EQ(judged.divergence->position, at);
            Trace doubled = good;
            doubled.steps.insert(doubled.steps.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                                 good.steps[at]);
            EXPECT_EQ(judge_machine(kernel, Branch::jump, doubled).divergence->kind,
                      DivergenceKind::twice);
            for (std::size_t other = at + 1; other < good.steps.size(); ++other) {
                Trace swapped = good;
                std::swap(swapped.steps[at], swapped.steps[other]);
                EXPECT_EQ(judge_machine(kernel, Branch::jump, swapped).divergence->position, at);
            }
        }
    }
}

TEST(MachineKexecTest, ApicsNotInLegacyMode) {
    const Kernel kernel{{6, 1}, Arch::x86_64, {}};
    const Trace trace =
        without(without(machine(kernel), S::clear_io_apic), S::restore_boot_irq_mode);
    const Judgement judged = judge_machine(kernel, Branch::jump, trace);
    EXPECT_NE(judged.text.find("no timer interrupt (B1)"), std::string::npos) << judged.text;
    // A kernel without IOAPIC support has nothing to clear.
    Kernel no_apic = kernel;
    no_apic.left_out.add(S::clear_io_apic).add(S::restore_boot_irq_mode);
    EXPECT_EQ(judge_machine(no_apic, Branch::jump, trace).outcome, Outcome::match);
}

}  // namespace
}  // namespace jumpback::jump::test
