// SPDX-License-Identifier: GPL-2.0-or-later
//
// What single register writes do.
#include <gtest/gtest.h>

#include "model/interrupts/machine.h"
#include "model/interrupts/registers.h"

namespace jumpback::interrupts {
namespace {

TEST(LocalApicTest, SoftwareDisabledMeansMasked) {
    LocalApic lapic;
    lapic.write(LapicReg::kSpiv, 0x1ff);
    lapic.write(LapicReg::kLvt0, 0x700);
    EXPECT_EQ(lapic.lvt0, 0x700U);
    lapic.write(LapicReg::kSpiv, 0xff);
    EXPECT_EQ(lapic.lvt0, 0x10700U) << "disabling masks";
    lapic.write(LapicReg::kLvt0, 0x700);
    EXPECT_EQ(lapic.lvt0, 0x10700U) << "and the mask cannot be cleared meanwhile";
    lapic.write(LapicReg::kSpiv, 0x1ff);
    EXPECT_EQ(lapic.lvt0, 0x10700U) << "enabling unmasks nothing by itself";
    lapic.write(LapicReg::kLvt0, 0x700);
    EXPECT_EQ(lapic.lvt0, 0x700U);
}

TEST(LocalApicTest, StatusAndReservedBitsAreNotWritable) {
    LocalApic lapic;
    lapic.write(LapicReg::kSpiv, 0xffffffff);
    EXPECT_EQ(lapic.spiv, 0x3ffU) << "bit 12 exists only with directed EOIs";
    lapic.version |= kVersionDirectedEoi;
    lapic.write(LapicReg::kSpiv, 0xffffffff);
    EXPECT_EQ(lapic.spiv, 0x13ffU);
    lapic.write(LapicReg::kLvt0, 0xffffffff);
    EXPECT_EQ(lapic.lvt0, 0x1a7ffU);
    lapic.write(LapicReg::kLvtTimer, 0xffffffff);
    EXPECT_EQ(lapic.lvt_timer, 0x700ffU);
    lapic.write(LapicReg::kLvtError, 0xffffffff);
    EXPECT_EQ(lapic.lvt_error, 0x100ffU);
    lapic.write(LapicReg::kLvtPerf, 0xffffffff);
    EXPECT_EQ(lapic.lvt_perf, 0x107ffU);
    lapic.write(LapicReg::kDfr, 0);
    EXPECT_EQ(lapic.dfr, 0x0fffffffU);
    lapic.write(LapicReg::kLdr, 0xffffffff);
    EXPECT_EQ(lapic.ldr, 0xff000000U);
    lapic.write(LapicReg::kTpr, 0x110);
    EXPECT_EQ(lapic.tpr, 0x10U);
    lapic.write(LapicReg::kTdcr, 0xff);
    EXPECT_EQ(lapic.tdcr, 0xbU);
    lapic.write(LapicReg::kVersion, 0);
    EXPECT_EQ(lapic.max_lvt(), 5U);
}

TEST(LocalApicTest, QemuKeepsWhatIsWritten) {
    LocalApic lapic;
    lapic.flavour = LapicFlavour::kQemu;
    lapic.write(LapicReg::kSpiv, 0x1ff);
    lapic.write(LapicReg::kLvt0, 0x5700);
    EXPECT_EQ(lapic.read(LapicReg::kLvt0), 0x5700U);
    lapic.write(LapicReg::kSpiv, 0x10ff);
    EXPECT_EQ(lapic.spiv, 0xffU);
    EXPECT_EQ(lapic.lvt0, 0x5700U);
}

TEST(LocalApicTest, DisabledByApicbaseIsGone) {
    LocalApic lapic;
    lapic.write(LapicReg::kSpiv, 0x1ff);
    lapic.write(LapicReg::kLvt0, 0x700);
    lapic.write_apicbase(lapic.apicbase & ~kApicBaseEnabled);
    EXPECT_EQ(lapic.read(LapicReg::kSpiv), 0xffffffffU);
    lapic.write(LapicReg::kTpr, 0x20);
    lapic.write_apicbase(lapic.apicbase | kApicBaseEnabled);
    EXPECT_EQ(lapic.spiv, 0xffU);
    EXPECT_EQ(lapic.lvt0, 0x10000U);
    EXPECT_EQ(lapic.tpr, 0U);
}

TEST(LocalApicTest, X2apicHasFixedIds) {
    LocalApic lapic;
    lapic.apicbase |= kApicBaseX2;
    lapic.id = 0x123;
    lapic.ldr = 0x10008;
    lapic.write(LapicReg::kId, 0);
    lapic.write(LapicReg::kLdr, 0);
    lapic.write(LapicReg::kDfr, 0);
    EXPECT_EQ(lapic.apic_id(), 0x123U);
    EXPECT_EQ(lapic.ldr, 0x10008U);
    EXPECT_EQ(lapic.read(LapicReg::kDfr), 0xffffffffU);
}

TEST(IoApicTest, WritesKeepStatus) {
    IoApic ioapic;
    ioapic.pins[3].raw = 0xf021;  // level, remote IRR, delivery pending
    ioapic.write_low(3, 0x18021);
    EXPECT_EQ(ioapic.pins[3].raw, 0x1d021U);
    ioapic.write_high(3, 0x12345678);
    EXPECT_EQ(ioapic.pins[3].high(), 0x12000000U) << "the 82093AA has the destination only";
    ioapic.write_low(3, 0x10000);
    EXPECT_FALSE(ioapic.pins[3].remote_irr()) << "an edge-triggered entry has none";
    EXPECT_EQ(ioapic.read(99).raw, 0U);
    ioapic.write_low(99, 1);
    ioapic.write_high(99, 1);
}

TEST(IoApicTest, EoiIsByVectorAndLevel) {
    IoApic ioapic;
    ioapic.pins[1].raw = 0xc031;
    ioapic.pins[2].raw = 0xc031;
    ioapic.pins[3].raw = 0xc032;
    ioapic.eoi(0x31);
    EXPECT_FALSE(ioapic.pins[1].remote_irr());
    EXPECT_FALSE(ioapic.pins[2].remote_irr());
    EXPECT_TRUE(ioapic.pins[3].remote_irr());
}

TEST(PicTest, InitialisationSequence) {
    PicPair pics;
    pics.out(port::kMasterData, 0xab);
    EXPECT_EQ(pics.in(port::kMasterData), 0xabU);
    EXPECT_FALSE(pics.master.initialised());
    pics.master.isr = 1;
    pics.out(port::kMasterCommand, 0x11);
    EXPECT_EQ(pics.master.imr, 0U) << "ICW1 clears the mask";
    EXPECT_EQ(pics.master.isr, 0U);
    pics.out(port::kMasterData, 0x31);
    EXPECT_EQ(pics.master.vector_base, 0x30U);
    EXPECT_FALSE(pics.master.initialised());
    pics.out(port::kMasterData, 4);
    pics.out(port::kMasterData, 3);
    EXPECT_TRUE(pics.master.initialised());
    EXPECT_TRUE(pics.master.auto_eoi);
    EXPECT_EQ(pics.master.imr, 0U);
    pics.out(port::kMasterData, 0xfe);
    EXPECT_EQ(pics.master.imr, 0xfeU);
    EXPECT_EQ(pics.master.vector_base, 0x30U);
}

TEST(PicTest, SingleChipWithoutIcw4) {
    Pic8259 chip;
    chip.write_command(0x12);
    chip.write_data(0x40);
    EXPECT_TRUE(chip.initialised());
    EXPECT_FALSE(chip.cascaded);
    chip.isr = 0x14;
    chip.write_command(0x20);  // end of the highest interrupt
    EXPECT_EQ(chip.isr, 0x10U);
    chip.write_command(0x64);  // specific EOI of IR4
    EXPECT_EQ(chip.isr, 0U);
    chip.write_command(0x0b);  // reads of ISR: no change
    EXPECT_TRUE(chip.initialised());
}

TEST(PicTest, ElcrHasReservedBits) {
    PicPair pics;
    pics.out(port::kElcr1, 0xff);
    pics.out(port::kElcr2, 0xff);
    EXPECT_EQ(pics.in(port::kElcr1), 0xf8U);
    EXPECT_EQ(pics.in(port::kElcr2), 0xdeU);
    EXPECT_EQ(pics.in(0x60), 0xffU);
}

TEST(PitTest, CountsOnceTheCountIsThere) {
    Pit8254 pit;
    pit.out(Pit8254::kControl, 0x34);
    EXPECT_FALSE(pit.periodic());
    pit.out(Pit8254::kChannel0, 0x9c);
    EXPECT_FALSE(pit.periodic());
    pit.out(Pit8254::kChannel0, 0x2e);
    EXPECT_TRUE(pit.periodic());
    EXPECT_EQ(pit.reload, 0x2e9cU);
    pit.out(Pit8254::kControl, 0x00);  // latch
    pit.out(Pit8254::kControl, 0xb6);  // channel 2
    EXPECT_TRUE(pit.periodic());
    pit.out(Pit8254::kControl, 0x30);
    EXPECT_FALSE(pit.periodic());
    EXPECT_FALSE(pit.loaded);
}

TEST(RegistersTest, NamesAreUniqueAndSettable) {
    Hardware hardware;
    hardware.ioapics.resize(2);
    std::set<std::string> names;
    for (const Register& reg : registers(hardware)) {
        EXPECT_TRUE(names.insert(reg.name).second) << reg.name;
        ASSERT_TRUE(set(hardware, reg.name, 1).ok());
        EXPECT_EQ(get(hardware, reg.name).value(), 1U) << reg.name;
    }
    EXPECT_TRUE(names.contains("IOAPIC 1 RTE 23"));
    EXPECT_FALSE(set(hardware, "LAPIC LVT9", 1).ok());
    EXPECT_FALSE(get(hardware, "IOAPIC 2 ID").ok());
}

TEST(RegistersTest, MeaningInWords) {
    EXPECT_EQ(meaning("LAPIC LVT0", 0x700), "unmasked, ExtINT, edge, active high, vector 0x0");
    EXPECT_EQ(meaning("LAPIC LVT1", 0x1a4ff), "masked, NMI, level, active low, vector 0xff");
    EXPECT_EQ(meaning("LAPIC LVTT", 0x200ec), "unmasked, periodic, vector 0xec");
    EXPECT_EQ(meaning("LAPIC LVTERR", 0x100fe), "masked, vector 0xfe");
    EXPECT_EQ(meaning("LAPIC SPIV", 0x10f), "enabled, vector 0xf");
    EXPECT_EQ(meaning("LAPIC SPIV", 0xff), "software-disabled, vector 0xff");
    EXPECT_EQ(meaning("IOAPIC 0 RTE 0", 0x10000),
              "masked, Fixed, edge, active high, vector 0x0, APIC id 0x0");
    EXPECT_EQ(meaning("IOAPIC 1 RTE 9", (std::uint64_t{1} << 56) | 0xe931),
              "unmasked, lowest priority, level, active low, vector 0x31, logical 0x1, remote IRR");
    EXPECT_EQ(meaning("8259 master IMR", 0xfb), "IR0 masked");
    EXPECT_EQ(meaning("PIT mode", 2), "");
}

}  // namespace
}  // namespace jumpback::interrupts
