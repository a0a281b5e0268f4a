// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/kernel_i8259.h"

namespace jumpback::interrupts {
namespace {

constexpr std::uint8_t kIsaIrqVector = 0x30;  // asm/irq_vectors.h: ISA_IRQ_VECTOR(0)
constexpr std::uint8_t kIcw1 = 0x11;          // cascaded, edge, ICW4 follows
constexpr std::uint8_t kIcw4 = 0x01;          // MASTER_ICW4_DEFAULT: 8086 mode
constexpr std::uint8_t kIcw4AutoEoi = 0x02;   // PIC_ICW4_AEOI

bool has_legacy_pic(const Machine& machine) { return machine.facts.nr_legacy_irqs != 0; }

std::uint8_t cached_master(const Machine& machine) {
    return static_cast<std::uint8_t>(machine.memory.cached_irq_mask);
}

std::uint8_t cached_slave(const Machine& machine) {
    return static_cast<std::uint8_t>(machine.memory.cached_irq_mask >> 8);
}

}  // namespace

void mask_8259a(Machine& machine) {
    if (has_legacy_pic(machine)) {
        machine.hw.pics.out(port::kMasterData, 0xff);
        machine.hw.pics.out(port::kSlaveData, 0xff);
    }
}

void unmask_8259a(Machine& machine) {
    if (has_legacy_pic(machine)) {
        machine.hw.pics.out(port::kMasterData, cached_master(machine));
        machine.hw.pics.out(port::kSlaveData, cached_slave(machine));
    }
}

void unmask_8259a_irq(Machine& machine, unsigned irq) {
    if (!has_legacy_pic(machine) || irq > 15) {
        return;
    }
    machine.memory.cached_irq_mask =
        static_cast<std::uint16_t>(machine.memory.cached_irq_mask & ~(1U << irq));
    if ((irq & 8) != 0) {
        machine.hw.pics.out(port::kSlaveData, cached_slave(machine));
    } else {
        machine.hw.pics.out(port::kMasterData, cached_master(machine));
    }
}

void init_8259a(Machine& machine, bool auto_eoi) {
    if (!has_legacy_pic(machine)) {
        return;
    }
    machine.memory.auto_eoi = auto_eoi;
    PicPair& pics = machine.hw.pics;
    pics.out(port::kMasterData, 0xff);
    pics.out(port::kMasterCommand, kIcw1);
    pics.out(port::kMasterData, kIsaIrqVector);
    pics.out(port::kMasterData, 1U << PicPair::kCascadeIr);
    pics.out(port::kMasterData, auto_eoi ? kIcw4 | kIcw4AutoEoi : kIcw4);
    pics.out(port::kSlaveCommand, kIcw1);
    pics.out(port::kSlaveData, kIsaIrqVector + 8);
    pics.out(port::kSlaveData, PicPair::kCascadeIr);
    pics.out(port::kSlaveData, kIcw4);  // the slave never ends interrupts by itself
    unmask_8259a(machine);
}

void i8259a_suspend(Machine& machine) {
    if (has_legacy_pic(machine)) {
        // save_ELCR(): the bits of IRQ 0, 1, 2, 8, 13 are reserved
        machine.memory.elcr = {static_cast<std::uint8_t>(machine.hw.pics.in(port::kElcr1)&0xf8),
                               static_cast<std::uint8_t>(machine.hw.pics.in(port::kElcr2)&0xde)};
    }
}

void i8259a_resume(Machine& machine) {
    if (has_legacy_pic(machine)) {
        init_8259a(machine, machine.memory.auto_eoi);
        machine.hw.pics.out(port::kElcr1, machine.memory.elcr[0]);
        machine.hw.pics.out(port::kElcr2, machine.memory.elcr[1]);
    }
}

void i8259a_shutdown(Machine& machine) {
    if (has_legacy_pic(machine)) {
        machine.hw.pics.out(port::kMasterData, 0xff);
        machine.hw.pics.out(port::kSlaveData, 0xff);
    }
}

}  // namespace jumpback::interrupts
