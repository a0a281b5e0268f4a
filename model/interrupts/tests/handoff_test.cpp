// SPDX-License-Identifier: GPL-2.0-or-later
//
// The values that the kernel's functions leave, by hand. The table of LAPIC values is the one in
// docs/interrupt-model.md.
#include <gtest/gtest.h>

#include "model/interrupts/kernel_i8259.h"
#include "model/interrupts/kernel_ioapic.h"
#include "model/interrupts/kernel_lapic.h"
#include "model/interrupts/kernel_timers.h"
#include "model/interrupts/tests/machines.h"

namespace jumpback::interrupts {
namespace {

using test::running;
using test::running_with_ext_int_pin;
using test::running_with_imcr;

constexpr std::uint32_t kMasked = 0x10000;

TEST(HandoffTest, AfterSuspend) {
    Machine machine = running();
    lapic_suspend(machine);
    const LocalApic& lapic = machine.hw.lapic;
    EXPECT_EQ(lapic.spiv, 0xffU) << "enable bit cleared, vector kept";
    for (const std::uint32_t entry :
         {lapic.lvt0, lapic.lvt1, lapic.lvt_timer, lapic.lvt_error, lapic.lvt_perf}) {
        EXPECT_EQ(entry, kMasked);
    }
    EXPECT_EQ(lapic.tpr, 0x10U);
    EXPECT_EQ(machine.memory.lapic.lvt0, 0x10700U);
}

TEST(HandoffTest, AfterDisconnect) {
    for (const bool virtual_wire : {false, true}) {
        Machine machine = running();
        lapic_suspend(machine);
        disconnect_bsp_apic(machine, virtual_wire);
        const LocalApic& lapic = machine.hw.lapic;
        EXPECT_EQ(lapic.spiv, 0x10fU);
        EXPECT_EQ(lapic.lvt0, virtual_wire ? kMasked : 0x700U);
        EXPECT_EQ(lapic.lvt1, 0x400U);
        for (const std::uint32_t entry : {lapic.lvt_timer, lapic.lvt_error, lapic.lvt_perf}) {
            EXPECT_EQ(entry, kMasked);
        }
        EXPECT_EQ(lapic.tpr, 0x10U);
    }
}

TEST(HandoffTest, WhatIsWrittenToLvt0AndLvt1) {
    Machine machine = running();
    machine.hw.lapic.flavour = LapicFlavour::kQemu;  // shows the write itself
    lapic_suspend(machine);
    machine.hw.lapic.lvt0 |= 0x31;
    disconnect_bsp_apic(machine, false);
    EXPECT_EQ(machine.hw.lapic.lvt0, 0x5731U) << "0x5700 and the low 8 bits of before";
    EXPECT_EQ(machine.hw.lapic.lvt1, 0x5400U);
}

TEST(HandoffTest, SpivKeepsBits9And12) {
    Machine machine = running();
    machine.hw.lapic.version |= kVersionDirectedEoi;
    machine.hw.lapic.spiv = 0x13ff;
    lapic_suspend(machine);
    disconnect_bsp_apic(machine, false);
    EXPECT_EQ(machine.hw.lapic.spiv, 0x130fU);
}

TEST(HandoffTest, ShutdownOf32BitKernelsLeavesSpivEnabled) {
    Machine machine = running();
    lapic_shutdown(machine);
    EXPECT_EQ(machine.hw.lapic.spiv, 0xffU);

    machine = running();
    machine.facts.is_32bit = true;
    lapic_shutdown(machine);
    EXPECT_EQ(machine.hw.lapic.spiv, 0x1ffU) << "clear_local_APIC() alone";
    EXPECT_EQ(machine.hw.lapic.lvt0, kMasked);

    machine = running();
    machine.facts.is_32bit = true;
    machine.facts.enabled_via_apicbase = true;
    lapic_shutdown(machine);
    EXPECT_FALSE(machine.hw.lapic.globally_enabled());

    machine = running();
    machine.facts.cpu_has_apic = false;
    const LocalApic before = machine.hw.lapic;
    lapic_shutdown(machine);
    EXPECT_EQ(machine.hw.lapic, before);
}

TEST(HandoffTest, PicModeTouchesTheImcrOnly) {
    Machine machine = running_with_imcr();
    lapic_suspend(machine);
    const LocalApic before = machine.hw.lapic;
    restore_boot_irq_mode(machine);
    EXPECT_EQ(machine.hw.lapic, before);
    EXPECT_FALSE(machine.hw.imcr_apic);

    machine = running_with_imcr();
    machine.facts.is_32bit = false;  // 64-bit kernels do not know PIC mode
    lapic_suspend(machine);
    restore_boot_irq_mode(machine);
    EXPECT_EQ(machine.hw.lapic.lvt0, 0x700U);
    EXPECT_TRUE(machine.hw.imcr_apic);
}

TEST(HandoffTest, SensorsAreMaskedButKept) {
    Machine machine = running();
    machine.hw.lapic.version = 0x60014;
    machine.hw.lapic.lvt_thermal = 0x2fa;
    machine.hw.lapic.lvt_cmci = 0xf7;
    machine.facts.mce_intel = true;
    clear_local_apic(machine);
    EXPECT_EQ(machine.hw.lapic.lvt_thermal, 0x102faU);
    EXPECT_EQ(machine.hw.lapic.lvt_cmci, 0x100f7U);
    EXPECT_TRUE(machine.hw.lapic.software_enabled());
}

TEST(HandoffTest, ClearIoApic) {
    Machine machine = running();
    std::vector<Rte>& pins = machine.hw.ioapics[0].pins;
    pins[5].raw = (std::uint64_t{3} << 56) | 0x8231;  // SMI: left alone
    pins[7].raw = 0x1c041;                            // masked, level, remote IRR set
    pins[8].raw = 0x700;
    const Rte smi = pins[5];
    clear_io_apic(machine);
    for (std::size_t pin = 0; pin < pins.size(); ++pin) {
        EXPECT_EQ(pins[pin].raw, pin == 5 ? smi.raw : kMasked) << pin;
    }
}

// Both ways of __eoi_ioapic_pin(). Remote IRR that stays would block the pin for ever.
TEST(HandoffTest, ClearEndsPendingLevelInterrupts) {
    for (const std::uint32_t version : {0x11U, 0x20U}) {
        IoApic ioapic;
        ioapic.version = version;
        ioapic.pins[4].raw = 0xc031;
        const IoApic before = ioapic;
        eoi_ioapic_pin(ioapic, 4, 0x31);
        EXPECT_EQ(ioapic.pins[4].raw, 0x8031U) << version;
        ioapic = before;
        clear_io_apic_pin(ioapic, 4);
        EXPECT_EQ(ioapic.pins[4].raw, kMasked);
    }
}

TEST(HandoffTest, IoApicWire) {
    Machine machine = running_with_ext_int_pin();
    machine.hw.lapic.id = 5U << 24;
    lapic_suspend(machine);
    clear_io_apic(machine);
    restore_boot_irq_mode(machine);
    EXPECT_EQ(machine.hw.ioapics[0].pins[0].raw, (std::uint64_t{5} << 56) | 0x700);
    EXPECT_EQ(machine.hw.lapic.lvt0, kMasked);
    EXPECT_EQ(machine.hw.lapic.lvt1, 0x400U);

    machine = running_with_ext_int_pin();
    machine.facts.irq_remapping = true;
    clear_io_apic(machine);
    restore_boot_irq_mode(machine);
    EXPECT_EQ(machine.hw.ioapics[0].pins[0].raw, kMasked);
    EXPECT_EQ(machine.hw.lapic.lvt0, 0x700U);
}

TEST(HandoffTest, WideApicIds) {
    Machine machine = running_with_ext_int_pin();
    machine.hw.lapic.apicbase |= kApicBaseX2;
    machine.hw.lapic.id = 0x1234;
    machine.hw.ioapics[0].high_writable = 0xffffffff;
    restore_boot_irq_mode(machine);
    EXPECT_EQ(machine.hw.ioapics[0].pins[0].raw, 0x3424000000000700U);
    machine.facts.version = {5, 10};
    restore_boot_irq_mode(machine);
    EXPECT_EQ(machine.hw.ioapics[0].pins[0].raw, 0x3400000000000700U);
}

TEST(HandoffTest, NullPicLeavesNoWire) {
    Machine machine = running_with_ext_int_pin();
    machine.facts.nr_legacy_irqs = 0;
    const PicPair pics = machine.hw.pics;
    lapic_suspend(machine);
    clear_io_apic(machine);
    restore_boot_irq_mode(machine);
    mask_8259a(machine);
    i8259a_resume(machine);
    EXPECT_EQ(machine.hw.lapic.lvt0, kMasked);
    EXPECT_EQ(machine.hw.lapic.spiv, 0xffU);
    EXPECT_EQ(machine.hw.ioapics[0].pins[0].raw, kMasked);
    EXPECT_EQ(machine.hw.pics, pics);
}

TEST(HandoffTest, MaskAndRestoreEntries) {
    Machine machine = running();
    const Hardware before = machine.hw;
    mask_ioapic_entries(machine);  // nothing saved: nothing to mask
    EXPECT_EQ(machine.hw, before);
    save_ioapic_entries(machine);
    mask_ioapic_entries(machine);
    EXPECT_EQ(machine.hw.ioapics[0].pins[9].raw, 0x18021U);
    EXPECT_EQ(machine.hw.ioapics[0].pins[0].raw, kMasked);
    machine.memory.ioapic_ids = {7};
    ioapic_resume(machine);
    EXPECT_EQ(machine.hw.ioapics[0].pins, before.ioapics[0].pins);
    EXPECT_EQ(machine.hw.ioapics[0].id, 7U);
}

TEST(HandoffTest, PicSuspendShutdownResume) {
    Machine machine = running();
    const PicPair before = machine.hw.pics;
    i8259a_suspend(machine);
    EXPECT_EQ(machine.hw.pics, before) << "saves ELCR and changes nothing";
    EXPECT_EQ(machine.memory.elcr[1], 0x0cU);
    i8259a_shutdown(machine);
    EXPECT_EQ(machine.hw.pics.master.imr, 0xffU);
    machine.hw.pics = {};
    i8259a_resume(machine);
    EXPECT_EQ(machine.hw.pics.master.imr, 0xfbU);
    EXPECT_EQ(machine.hw.pics.slave.imr, 0xffU);
    EXPECT_EQ(machine.hw.pics.master.vector_base, 0x30U);
    EXPECT_EQ(machine.hw.pics.slave.vector_base, 0x38U);
    EXPECT_TRUE(machine.hw.pics.master.auto_eoi);
    EXPECT_FALSE(machine.hw.pics.slave.auto_eoi);
    EXPECT_EQ(machine.hw.pics.slave.elcr, 0x0cU);
    unmask_8259a_irq(machine, 0);
    unmask_8259a_irq(machine, 12);
    EXPECT_EQ(machine.hw.pics.master.imr, 0xfaU);
    EXPECT_EQ(machine.hw.pics.slave.imr, 0xefU);
    EXPECT_EQ(machine.memory.cached_irq_mask, 0xeffaU);
}

TEST(HandoffTest, TickDevices) {
    Machine machine = running();
    machine.facts.broadcast = ClockEvent::kPit;
    timekeeping_suspend(machine);
    EXPECT_EQ(machine.hw.lapic.lvt_timer, 0x100ecU);
    EXPECT_EQ(machine.hw.lapic.tmict, 0U);
    EXPECT_FALSE(machine.hw.pit.loaded);
    timekeeping_resume(machine);
    EXPECT_EQ(machine.hw.lapic.lvt_timer, 0xecU);

    machine = running();
    machine.facts.broadcast = ClockEvent::kHpet;
    machine.hw.lapic.lvt_timer = 0x400ec;
    machine.hw.hpet = {true, true, true, true};
    timekeeping_suspend(machine);
    EXPECT_EQ(machine.hw.lapic.lvt_timer, 0x500ecU);
    EXPECT_EQ(machine.hw.lapic.tmict, 62500U) << "TSC deadline mode has no count";
    EXPECT_FALSE(machine.hw.hpet.timer0_enabled);
    EXPECT_TRUE(machine.hw.hpet.legacy) << "the route stays with the HPET on a jump";
    hpet_disable(machine);
    EXPECT_FALSE(machine.hw.hpet.legacy) << "plain kexec gives it back";
}

}  // namespace
}  // namespace jumpback::interrupts
