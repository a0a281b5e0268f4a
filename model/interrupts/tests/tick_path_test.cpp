// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/tick_path.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/interrupts/kernel_i8259.h"
#include "model/interrupts/kernel_ioapic.h"
#include "model/interrupts/kernel_lapic.h"
#include "model/interrupts/tests/machines.h"

namespace jumpback::interrupts {
namespace {

TickAnswer ask(const Machine& machine) { return can_tick_reach(machine.hw, machine.board); }

std::string all(const TickAnswer& answer) {
    std::string out;
    for (const Obstacle& obstacle : answer.obstacles) {
        out += (out.empty() ? "" : "; ") + obstacle.text;
    }
    return out;
}

bool stands(const TickAnswer& answer, const std::string& text) {
    return std::any_of(answer.obstacles.begin(), answer.obstacles.end(),
                       [&](const Obstacle& obstacle) { return obstacle.text == text; });
}

// Everything open, by the LAPIC.
Machine ticking() {
    Machine machine = test::running();
    clear_io_apic(machine);
    restore_boot_irq_mode(machine);
    unmask_8259a_irq(machine, 0);
    return machine;
}

TEST(TickPathTest, LapicVirtualWire) {
    const TickAnswer answer = ask(ticking());
    EXPECT_EQ(answer.path, TickPath::kLapicVirtualWire);
    EXPECT_TRUE(answer.open_to_pic);
    EXPECT_TRUE(answer.ticks_now) << all(answer);
    EXPECT_EQ(answer.source, TickSource::kPit);
    EXPECT_TRUE(answer.obstacles.empty());
}

// A running kernel's own set-up: the timer's pin leads past the 8259.
TEST(TickPathTest, IoApicDirect) {
    Machine machine = test::running();
    TickAnswer answer = ask(machine);
    EXPECT_EQ(answer.path, TickPath::kIoapicDirect);
    EXPECT_TRUE(answer.ticks_now);
    machine.hw.lapic.tpr = 0x30;
    answer = ask(machine);
    EXPECT_FALSE(answer.open_to_pic);
    EXPECT_TRUE(stands(answer, "TPR 0x30 holds back vector 0x30")) << all(answer);
}

TEST(TickPathTest, IoApicVirtualWire) {
    Machine machine = test::running_with_ext_int_pin();
    lapic_suspend(machine);
    clear_io_apic(machine);
    restore_boot_irq_mode(machine);
    TickAnswer answer = ask(machine);
    EXPECT_EQ(answer.path, TickPath::kIoapicVirtualWire);
    EXPECT_TRUE(answer.open_to_pic);
    EXPECT_FALSE(answer.ticks_now) << "IR0 is for B's driver to unmask";
    EXPECT_EQ(all(answer), "8259 master IMR bit 0 set (0xfb)");
    unmask_8259a_irq(machine, 0);
    EXPECT_TRUE(ask(machine).ticks_now);
    machine.hw.ioapics[0].pins[0].raw |= std::uint64_t{9} << 56;
    answer = ask(machine);
    EXPECT_EQ(answer.path, TickPath::kNone);
    EXPECT_TRUE(stands(answer,
                       "IOAPIC 0 pin 0 is for another CPU (0x900000000000700, this one has APIC "
                       "id 0x0)"))
        << all(answer);
}

TEST(TickPathTest, PicMode) {
    Machine machine = test::running_with_imcr();
    lapic_suspend(machine);
    clear_io_apic(machine);
    EXPECT_EQ(ask(machine).path, TickPath::kNone);
    EXPECT_TRUE(stands(ask(machine), "IMCR is 1: the board sends INTR to the APICs"));
    restore_boot_irq_mode(machine);
    EXPECT_EQ(ask(machine).path, TickPath::kPicMode);
    EXPECT_TRUE(ask(machine).open_to_pic);
}

TEST(TickPathTest, ApicbaseOffMakesLint0TheIntrPin) {
    Machine machine = test::running();
    machine.facts.is_32bit = true;
    machine.facts.enabled_via_apicbase = true;
    lapic_suspend(machine);
    clear_io_apic(machine);
    restore_boot_irq_mode(machine);
    EXPECT_EQ(ask(machine).path, TickPath::kPicMode);
    machine.board.intr_on_lint0 = false;
    const TickAnswer answer = ask(machine);
    EXPECT_EQ(answer.path, TickPath::kNone);
    EXPECT_TRUE(stands(answer, "APICBASE enable bit cleared and no PIC mode wire")) << all(answer);
    EXPECT_TRUE(stands(answer, "the 8259's INTR is not wired to LINT0 of this CPU"));
}

struct Blocked {
    const char* what;
    void (*change)(Machine&);
    Where where;
};

class ObstacleTest : public testing::TestWithParam<Blocked> {};

TEST_P(ObstacleTest, IsNamed) {
    const Blocked& blocked = GetParam();
    Machine machine = ticking();
    blocked.change(machine);
    const TickAnswer answer = ask(machine);
    EXPECT_FALSE(answer.ticks_now);
    EXPECT_EQ(answer.open_to_pic, blocked.where != Where::kWire) << all(answer);
    ASSERT_TRUE(stands(answer, blocked.what)) << all(answer);
    // Alone in its way.
    EXPECT_EQ(answer.paths.at(0).obstacles, (std::vector<Obstacle>{{blocked.where, blocked.what}}));
}

INSTANTIATE_TEST_SUITE_P(
    Each, ObstacleTest,
    testing::Values(
        Blocked{"LVT0 is masked (0x10700)", [](Machine& m) { m.hw.lapic.lvt0 = 0x10700; },
                Where::kWire},
        Blocked{"LVT0 is Fixed with vector 0x0, not ExtINT",
                [](Machine& m) { m.hw.lapic.lvt0 = 0; }, Where::kWire},
        Blocked{"LVT0's delivery mode is neither ExtINT nor Fixed (0x400)",
                [](Machine& m) { m.hw.lapic.lvt0 = 0x400; }, Where::kWire},
        Blocked{"LVT0 is active low (0x2700), INTR is active high",
                [](Machine& m) { m.hw.lapic.lvt0 = 0x2700; }, Where::kWire},
        Blocked{"SPIV bit 8 clear (0xf): LAPIC software-disabled",
                [](Machine& m) { m.hw.lapic.spiv = 0xf; }, Where::kWire},
        Blocked{"8259 master IMR bit 0 set (0xff)", [](Machine& m) { mask_8259a(m); }, Where::kPic},
        Blocked{"8259 master is not initialised",
                [](Machine& m) { m.hw.pics.master.init = PicInit::kNone; }, Where::kPic},
        Blocked{"8259 master's vector base 0x8 lies among the exceptions",
                [](Machine& m) { m.hw.pics.master.vector_base = 8; }, Where::kPic},
        Blocked{"8259 master ISR bit 0 set: the last tick was not ended",
                [](Machine& m) {
                    m.hw.pics.master.isr = 1;
                    m.hw.pics.master.auto_eoi = false;
                },
                Where::kPic},
        Blocked{"PIT channel 0 not running", [](Machine& m) { m.hw.pit.loaded = false; },
                Where::kSource},
        Blocked{"PIT channel 0 is in mode 4: it raises its line once",
                [](Machine& m) { m.hw.pit.mode = 4; }, Where::kSource},
        Blocked{"HPET legacy replacement is on and its timer 0 does not run: the PIT is cut off",
                [](Machine& m) {
                    m.hw.hpet = {true, true, true, false};
                },
                Where::kSource}));

TEST(TickPathTest, FixedLvt0WithAVectorTicks) {
    Machine machine = ticking();
    machine.hw.lapic.lvt0 = 0x30;  // check_timer()'s fallback
    EXPECT_TRUE(ask(machine).ticks_now);
}

TEST(TickPathTest, TheHpetTicksInThePitsPlace) {
    Machine machine = ticking();
    machine.hw.hpet = {true, true, true, true};
    EXPECT_TRUE(ask(machine).ticks_now);
    EXPECT_EQ(ask(machine).source, TickSource::kHpet);
}

TEST(TickPathTest, MaskedPinIsNamed) {
    Machine machine = test::running_with_ext_int_pin();
    lapic_suspend(machine);
    clear_io_apic(machine);  // and no restore
    const TickAnswer answer = ask(machine);
    EXPECT_TRUE(stands(answer, "IOAPIC 0 pin 0 is 0x10000: masked, no ExtINT")) << all(answer);
    EXPECT_TRUE(stands(answer, "IOAPIC 0 pin 2 is masked (0x10000)"));
    EXPECT_TRUE(stands(answer, "LVT0 is masked (0x10000)"));
    machine.board.intr_pin = PinRef{0, 30};
    EXPECT_TRUE(stands(ask(machine), "IOAPIC 0 pin 30 does not exist"));
}

TEST(TickPathTest, LogicalDestinations) {
    Machine machine = test::running();
    LocalApic& lapic = machine.hw.lapic;
    Rte& rte = machine.hw.ioapics[0].pins[2];
    rte.raw = (std::uint64_t{0x03} << 56) | 0x831;
    lapic.ldr = 0x02000000;
    EXPECT_TRUE(ask(machine).open_to_pic) << "flat";
    lapic.ldr = 0x04000000;
    EXPECT_FALSE(ask(machine).open_to_pic);
    lapic.dfr = 0x0fffffff;
    rte.raw = (std::uint64_t{0x13} << 56) | 0x831;
    lapic.ldr = 0x12000000;
    EXPECT_TRUE(ask(machine).open_to_pic) << "cluster 1, CPU bit 1";
    lapic.ldr = 0x22000000;
    EXPECT_FALSE(ask(machine).open_to_pic);
    lapic.apicbase |= kApicBaseX2;
    lapic.ldr = 0x00002;
    EXPECT_TRUE(ask(machine).open_to_pic) << "x2APIC cluster 0";
    lapic.ldr = 0x10002;
    EXPECT_FALSE(ask(machine).open_to_pic);
}

TEST(TickPathTest, PendingEoiBlocksALevelPin) {
    Machine machine = test::running();
    machine.hw.ioapics[0].pins[2].raw = 0xc030;
    EXPECT_TRUE(stands(ask(machine), "IOAPIC 0 pin 2 waits for an EOI (0xc030)"));
}

TEST(TickPathTest, AGoneLapicIsSaidOnce) {
    Machine machine = ticking();
    machine.board.imcr_present = true;
    machine.hw.imcr_apic = true;
    machine.board.intr_on_lint0 = false;
    machine.hw.lapic.apicbase &= ~kApicBaseEnabled;
    const TickAnswer answer = ask(machine);
    EXPECT_EQ(answer.path, TickPath::kNone);
    EXPECT_TRUE(stands(answer, "APICBASE enable bit clear (0xfee00100): no local APIC"))
        << all(answer);
    EXPECT_EQ(std::count_if(answer.obstacles.begin(), answer.obstacles.end(),
                            [](const Obstacle& o) {
                                return o.text.find("no local APIC") != std::string::npos;
                            }),
              1);
}

}  // namespace
}  // namespace jumpback::interrupts
