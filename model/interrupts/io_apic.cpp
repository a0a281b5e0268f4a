// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/io_apic.h"

namespace jumpback::interrupts {

void IoApic::write_low(std::size_t pin, std::uint32_t value) {
    if (pin >= pins.size()) {
        return;
    }
    Rte& entry = pins[pin];
    const std::uint64_t high = entry.raw & ~std::uint64_t{0xffffffff};
    const std::uint64_t status = entry.raw & Rte::kStatus;
    entry.raw = high | (value & Rte::kLowWritable) | status;
    if (!entry.level()) {
        entry.set(Rte::kRemoteIrr, false);
    }
}

void IoApic::write_high(std::size_t pin, std::uint32_t value) {
    if (pin >= pins.size()) {
        return;
    }
    const std::uint64_t low = pins[pin].raw & 0xffffffff;
    pins[pin].raw = (static_cast<std::uint64_t>(value & high_writable) << 32) | low;
}

void IoApic::eoi(std::uint8_t vector) {
    for (Rte& entry : pins) {
        if (entry.level() && entry.vector() == vector) {
            entry.set(Rte::kRemoteIrr, false);
        }
    }
}

}  // namespace jumpback::interrupts
