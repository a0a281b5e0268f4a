// SPDX-License-Identifier: GPL-2.0-or-later
//
// All registers of the hardware by name, with their values and what a value means in words. The one
// place that knows the names: "LAPIC LVT0", "IOAPIC 0 RTE 4", "8259 master IMR", "PIT mode".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/interrupts/machine.h"
#include "model/result.h"

namespace jumpback::interrupts {

struct Register {
    std::string name;
    std::uint64_t value = 0;
    std::uint64_t settings = ~std::uint64_t{0};  // bits that are settings; others are status
};

// In a fixed order: local APIC, I/O APICs, 8259s, PIT, HPET, IMCR.
std::vector<Register> registers(const Hardware& hardware);

// Error: no such register.
Result<std::uint64_t> get(const Hardware& hardware, std::string_view name);
// Sets the register itself, past what a write by software could change. A value is cut to the
// register's width.
Status set(Hardware& hardware, std::string_view name, std::uint64_t value);

// "unmasked, ExtINT, edge, active high" and the like; "" where the number says it all.
std::string meaning(std::string_view name, std::uint64_t value);

std::string hex(std::uint64_t value);

}  // namespace jumpback::interrupts
