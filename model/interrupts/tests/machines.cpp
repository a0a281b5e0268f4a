// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/tests/machines.h"

#include "model/interrupts/kernel_i8259.h"

namespace jumpback::interrupts::test {
namespace {

std::uint32_t bits(std::mt19937_64& random) { return static_cast<std::uint32_t>(random()); }
bool coin(std::mt19937_64& random) { return (random() & 1) != 0; }
std::size_t below(std::mt19937_64& random, std::size_t end) { return random() % end; }

// By the rules of write(), so that no state arises that hardware cannot be in.
void random_lapic(LocalApic& lapic, std::mt19937_64& random) {
    for (const LapicReg reg :
         {LapicReg::kId, LapicReg::kTpr, LapicReg::kLdr, LapicReg::kDfr, LapicReg::kSpiv,
          LapicReg::kLvtCmci, LapicReg::kLvtThermal, LapicReg::kLvtPerf, LapicReg::kLvt0,
          LapicReg::kLvt1, LapicReg::kLvtError, LapicReg::kTmict}) {
        lapic.write(reg, bits(random));
    }
}

void random_rtes(IoApic& ioapic, std::mt19937_64& random) {
    for (std::size_t pin = 0; pin < ioapic.pins.size(); ++pin) {
        ioapic.write_high(pin, bits(random));
        ioapic.write_low(pin, bits(random));
        // What only the chip sets. Remote IRR: level-triggered entries, accepted by a LAPIC.
        Rte& entry = ioapic.pins[pin];
        entry.set(Rte::kSendPending, below(random, 8) == 0);
        entry.set(Rte::kRemoteIrr, entry.level() && coin(random));
    }
}

}  // namespace

Machine running() {
    Machine machine;
    LocalApic& lapic = machine.hw.lapic;
    lapic.spiv = 0x1ff;
    lapic.tpr = 0x10;
    lapic.ldr = 1U << 24;
    lapic.lvt_timer = 0xec;
    lapic.lvt0 = 0x10700;
    lapic.lvt1 = 0x400;
    lapic.lvt_error = 0xfe;
    lapic.lvt_perf = 0x10400;
    lapic.tmict = 62500;
    lapic.tdcr = 0x3;
    std::vector<Rte>& pins = machine.hw.ioapics[0].pins;
    pins[0].raw = 0x1'0000;
    pins[2].raw = 0x30;     // timer, before the LAPIC timer took over; still unmasked
    pins[4].raw = 0x22;     // serial
    pins[9].raw = 0x8021;   // SCI: level
    pins[23].raw = 0xa027;  // PCI: level, active low
    machine.facts.broadcast = ClockEvent::kPit;
    machine.memory.cached_irq_mask = 0xfffb;
    init_8259a(machine, true);
    machine.hw.pics.out(port::kElcr2, 0x0c);
    machine.hw.pit = {2, 11932, true, 3, {}};
    return machine;
}

Machine running_with_ext_int_pin() {
    Machine machine = running();
    machine.board.intr_pin = PinRef{0, 0};
    machine.facts.ioapic_i8259 = PinRef{0, 0};
    return machine;
}

Machine running_with_imcr() {
    Machine machine = running();
    machine.board.imcr_present = true;
    machine.hw.imcr_apic = true;  // connect_bsp_APIC() has switched it
    machine.facts.is_32bit = true;
    machine.facts.pic_mode = true;
    return machine;
}

void scribble(Hardware& hardware, std::mt19937_64& random) {
    random_lapic(hardware.lapic, random);
    hardware.lapic.write(LapicReg::kLvtTimer, bits(random));
    hardware.lapic.write(LapicReg::kTdcr, bits(random));
    for (IoApic& ioapic : hardware.ioapics) {
        random_rtes(ioapic, random);
        ioapic.id = bits(random) & 0xf;
    }
    for (Pic8259* chip : {&hardware.pics.master, &hardware.pics.slave}) {
        chip->imr = static_cast<std::uint8_t>(random());
        chip->isr = static_cast<std::uint8_t>(random());
        chip->elcr = static_cast<std::uint8_t>(random());
        chip->vector_base = static_cast<std::uint8_t>(random() & 0xf8);
        chip->auto_eoi = coin(random);
        chip->init = PicInit::kDone;
    }
    hardware.pit = {static_cast<std::uint8_t>(below(random, 6)), 100, coin(random), 3, {}};
}

Machine random_running(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Machine machine;
    static constexpr KernelVersion kVersions[] = {{5, 10}, {6, 1}, {6, 12}, {7, 2}, {7, 3}};
    KernelFacts& facts = machine.facts;
    facts.version = kVersions[below(random, std::size(kVersions))];
    facts.is_32bit = coin(random);

    LocalApic& lapic = machine.hw.lapic;
    const std::uint32_t max_lvt = static_cast<std::uint32_t>(3 + below(random, 4));
    lapic.version = 0x14 | (max_lvt << 16) | (coin(random) ? kVersionDirectedEoi : 0);
    random_lapic(lapic, random);
    // A kernel that runs has its LAPIC enabled and its timer set up.
    lapic.write(LapicReg::kSpiv, lapic.spiv | kSpivEnabled);
    lapic.write(LapicReg::kLvt0, bits(random));
    lapic.write(LapicReg::kLvtTimer, coin(random) ? 0xec : 0xec | lvt::kTimerDeadline);
    lapic.write(LapicReg::kTdcr, 3);
    facts.thermal_vector = coin(random);
    facts.mce_intel = coin(random);

    machine.hw.ioapics.assign(1 + below(random, 3), {});
    for (IoApic& ioapic : machine.hw.ioapics) {
        ioapic.pins.resize(1 + below(random, 32));
        ioapic.version = coin(random) ? 0x20 : 0x11;
        ioapic.high_writable = coin(random) ? 0xff000000 : 0xffffffff;
        ioapic.id = bits(random) & 0xf;
        random_rtes(ioapic, random);
        machine.memory.ioapic_ids.push_back(ioapic.id);
    }
    if (coin(random)) {
        const std::size_t apic = below(random, machine.hw.ioapics.size());
        facts.ioapic_i8259 = PinRef{apic, below(random, machine.hw.ioapics[apic].pins.size())};
        machine.board.intr_pin = facts.ioapic_i8259;
    }
    facts.irq_remapping = below(random, 8) == 0;
    if (facts.is_32bit && below(random, 4) == 0) {
        facts.pic_mode = true;
        machine.board.imcr_present = true;
        machine.hw.imcr_apic = true;
    } else {
        facts.enabled_via_apicbase = facts.is_32bit && below(random, 4) == 0;
    }
    if (coin(random)) {
        facts.broadcast = ClockEvent::kPit;
    } else {
        machine.hw.hpet = {true, true, true, coin(random)};
    }

    machine.memory.cached_irq_mask = static_cast<std::uint16_t>(random());
    init_8259a(machine, coin(random));
    machine.hw.pics.out(port::kElcr1, static_cast<std::uint8_t>(random()));
    machine.hw.pics.out(port::kElcr2, static_cast<std::uint8_t>(random()));
    machine.hw.pit = {2, 11932, true, 3, {}};
    return machine;
}

}  // namespace jumpback::interrupts::test
