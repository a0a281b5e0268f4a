// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/kernel_timers.h"

namespace jumpback::interrupts {
namespace {

constexpr std::uint32_t kLocalTimerVector = 0xec;  // asm/irq_vectors.h
constexpr std::uint32_t kDivideBy16 = 0x3;         // APIC_TDR_DIV_16
constexpr std::uint32_t kDivideBits = 0xb | 0x4;   // APIC_TDR_DIV_1 | APIC_TDR_DIV_TMBASE

void shut_down(Machine& machine, ClockEvent device) {
    switch (device) {
        case ClockEvent::kNone:
            break;
        case ClockEvent::kLapicTimer:
            lapic_timer_shutdown(machine);
            break;
        case ClockEvent::kPit:
            clockevent_i8253_disable(machine);
            break;
        case ClockEvent::kHpet:  // hpet_clkevt_set_state_shutdown(): the route stays
            machine.hw.hpet.timer0_enabled = false;
            break;
    }
}

}  // namespace

void lapic_timer_shutdown(Machine& machine) {
    LocalApic& lapic = machine.hw.lapic;
    const std::uint32_t value = lapic.read(LapicReg::kLvtTimer) | lvt::kMasked | kLocalTimerVector;
    lapic.write(LapicReg::kLvtTimer, value);
    if ((value & lvt::kTimerDeadline) == 0) {
        lapic.write(LapicReg::kTmict, 0);
    }
}

void clockevent_i8253_disable(Machine& machine) {
    Pit8254& pit = machine.hw.pit;
    pit.out(Pit8254::kControl, 0x30);
    pit.out(Pit8254::kChannel0, 0);
    pit.out(Pit8254::kChannel0, 0);
    pit.out(Pit8254::kControl, 0x30);
}

void timekeeping_suspend(Machine& machine) {
    shut_down(machine, machine.facts.tick);
    shut_down(machine, machine.facts.broadcast);
}

void timekeeping_resume(Machine& machine) {
    const bool by_hpet =
        machine.facts.tick == ClockEvent::kHpet || machine.facts.broadcast == ClockEvent::kHpet;
    if (machine.hw.hpet.present && by_hpet) {
        machine.hw.hpet.legacy = true;  // hpet_clkevt_legacy_resume()
    }
    if (machine.facts.tick != ClockEvent::kLapicTimer) {
        return;
    }
    // __setup_APIC_LVTT()
    LocalApic& lapic = machine.hw.lapic;
    const std::uint32_t deadline = lapic.read(LapicReg::kLvtTimer) & lvt::kTimerDeadline;
    std::uint32_t value = kLocalTimerVector;
    value |= machine.facts.tick_periodic ? lvt::kTimerPeriodic : deadline;
    lapic.write(LapicReg::kLvtTimer, value);
    if ((value & lvt::kTimerDeadline) == 0) {
        lapic.write(LapicReg::kTdcr, (lapic.read(LapicReg::kTdcr) & ~kDivideBits) | kDivideBy16);
    }
}

void hpet_disable(Machine& machine) {
    Hpet& hpet = machine.hw.hpet;
    if (!hpet.present) {
        return;
    }
    hpet.enabled = machine.facts.hpet_was_enabled;
    hpet.legacy = machine.facts.hpet_was_legacy;
    hpet.timer0_enabled = false;  // firmware leaves its interrupt off
}

}  // namespace jumpback::interrupts
