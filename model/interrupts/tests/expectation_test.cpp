// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/expectation.h"

#include <gtest/gtest.h>

#include "model/interrupts/kernel_lapic.h"
#include "model/interrupts/registers.h"
#include "model/interrupts/tests/machines.h"

namespace jumpback::interrupts {
namespace {

std::vector<std::string> names(const Sequence& steps) {
    std::vector<std::string> out;
    for (const Step& step : steps) {
        out.push_back(step.name());
    }
    return out;
}

TEST(SequenceTest, PerVersion) {
    EXPECT_EQ(names(sequence(Path::kJump, {6, 1})),
              (std::vector<std::string>{
                  "timekeeping_suspend", "save_ioapic_entries", "i8259A_suspend", "lapic_suspend",
                  "clear_IO_APIC", "restore_boot_irq_mode: IOAPIC pin",
                  "restore_boot_irq_mode: IMCR", "restore_boot_irq_mode: SPIV",
                  "restore_boot_irq_mode: LVT0", "restore_boot_irq_mode: LVT1"}));
    EXPECT_EQ(names(sequence(Path::kReturn, {7, 3})),
              (std::vector<std::string>{"lapic_resume", "i8259A_resume", "ioapic_resume",
                                        "timekeeping_resume"}));
    EXPECT_EQ(names(sequence(Path::kPlainKexec, {6, 1})).front(), "clear_IO_APIC");
    EXPECT_EQ(names(sequence(Path::kPlainKexec, {6, 12})).front(), "i8259A_shutdown");
    EXPECT_EQ(names(sequence(Path::kCrash, {6, 12})).front(), "kdump_nmi_shootdown_cpus");
}

TEST(SequenceTest, StepsAreLeftOutMovedAndReplaced) {
    const Sequence jump = sequence(Path::kJump, {});
    EXPECT_EQ(without(jump, "restore_boot_irq_mode").value().size(), jump.size() - 5);
    EXPECT_EQ(without(jump, "restore_boot_irq_mode: LVT0").value().size(), jump.size() - 1);
    const auto early = moved(jump, "restore_boot_irq_mode", "clear_IO_APIC").value();
    EXPECT_EQ(names(early).back(), "clear_IO_APIC");
    EXPECT_EQ(names(early)[4], "restore_boot_irq_mode: IOAPIC pin");

    int ran = 0;
    Machine machine;
    run(replaced(jump, "lapic_suspend", [&](Machine&) { ++ran; }).value(), machine);
    EXPECT_EQ(ran, 1);
    const auto more = inserted(jump, {"x", "", "", [](Machine&) {}}, "restore_boot_irq_mode");
    EXPECT_EQ(names(more.value()).back(), "x");

    const auto wrong = without(jump, "clear_IOAPIC");
    ASSERT_FALSE(wrong.ok());
    EXPECT_NE(wrong.error().message().find("clear_IO_APIC"), std::string::npos);
    EXPECT_FALSE(moved(jump, "nothing", "clear_IO_APIC").ok());
    EXPECT_FALSE(moved(jump, "clear_IO_APIC", "nothing").ok());
    EXPECT_FALSE(replaced(jump, "nothing", {}).ok());
    EXPECT_FALSE(inserted(jump, {}, "nothing").ok());
}

TEST(ExpectationTest, EntryOfB) {
    const Machine before = test::running();
    const Expectation expected = at_entry_of_b(before);
    EXPECT_EQ(get(expected.hardware, "LAPIC SPIV").value(), 0x10fU);
    EXPECT_EQ(get(expected.hardware, "LAPIC LVT0").value(), 0x700U);
    EXPECT_EQ(get(expected.hardware, "IOAPIC 0 RTE 9").value(), 0x10000U);
    EXPECT_EQ(get(expected.hardware, "8259 master IMR").value(), 0xfbU) << "left as it is";
    EXPECT_TRUE(compare(expected, expected.hardware).empty());
}

TEST(ExpectationTest, PlainKexecMasksThe8259Since68) {
    Machine before = test::running();
    EXPECT_EQ(at_entry_of_b(before, Path::kPlainKexec).hardware.pics.master.imr, 0xfbU);
    before.facts.version = {6, 12};
    EXPECT_EQ(at_entry_of_b(before, Path::kPlainKexec).hardware.pics.master.imr, 0xffU);
    EXPECT_EQ(at_entry_of_b(before, Path::kCrash).hardware.pics.master.imr, 0xfbU);
}

TEST(ExpectationTest, DifferencesSayWhatAndWhose) {
    const Machine before = test::running();
    const Expectation expected = at_entry_of_b(before);
    Hardware found = expected.hardware;
    found.lapic.lvt0 = 0x10000;
    found.ioapics[0].pins[9] = before.hw.ioapics[0].pins[9];
    const std::vector<Difference> out = compare(expected, found);
    ASSERT_EQ(out.size(), 2U);
    EXPECT_EQ(out[0].reg, "LAPIC LVT0");
    EXPECT_EQ(out[0].step, "restore_boot_irq_mode: LVT0");
    EXPECT_EQ(out[0].since, "restore_boot_irq_mode: SPIV");
    EXPECT_EQ(out[0].text(),
              "LAPIC LVT0: expected 0x700 (unmasked, ExtINT, edge, active high, vector 0x0), found "
              "0x10000 (masked, Fixed, edge, active high, vector 0x0); its value comes from "
              "restore_boot_irq_mode: LVT0; as it was after restore_boot_irq_mode: SPIV");
    EXPECT_EQ(out[1].reg, "IOAPIC 0 RTE 9");
    EXPECT_EQ(out[1].step, "clear_IO_APIC");
    EXPECT_EQ(out[1].since, "i8259A_suspend") << "before lapic_suspend() masked it";
}

TEST(ExpectationTest, StatusIsNoDifference) {
    const Expectation expected = at_entry_of_b(test::running());
    Hardware found = expected.hardware;
    found.lapic.lvt0 |= lvt::kStatus;
    found.ioapics[0].pins[3].set(Rte::kStatus, true);
    found.pics.master.irr = 0x11;
    found.lapic.esr = 0x40;
    EXPECT_TRUE(compare(expected, found).empty());
}

TEST(ExpectationTest, MissingRegister) {
    const Expectation expected = at_entry_of_b(test::running());
    Hardware found = expected.hardware;
    found.ioapics[0].pins.pop_back();
    const std::vector<Difference> out = compare(expected, found);
    ASSERT_EQ(out.size(), 1U);
    EXPECT_TRUE(out[0].missing);
    EXPECT_NE(out[0].text().find("IOAPIC 0 RTE 23: expected 0x10000"), std::string::npos);
    EXPECT_NE(out[0].text().find("found no such register"), std::string::npos);
}

TEST(ExpectationTest, ReturnOfA) {
    Machine machine = test::running();
    machine.memory.ioapic_ids = {0};
    const Expectation expected = at_return_of_a(machine);
    run(sequence(Path::kJump, machine.facts.version), machine);
    std::mt19937_64 random(20080513);
    test::scribble(machine.hw, random);
    run(sequence(Path::kReturn, machine.facts.version), machine);
    machine.hw.lapic.tmict = 4711;
    for (const Difference& difference : compare(expected, machine.hw)) {
        ADD_FAILURE() << difference.text();
    }
    machine.hw.ioapics[0].pins[23].set(Rte::kMasked, true);
    const std::vector<Difference> out = compare(expected, machine.hw);
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(out[0].reg, "IOAPIC 0 RTE 23");
    EXPECT_EQ(out[0].step, "ioapic_resume");
}

}  // namespace
}  // namespace jumpback::interrupts
