// SPDX-License-Identifier: GPL-2.0-or-later
//
// Machines for the tests: a kernel that runs, on boards of several kinds.
#pragma once

#include <cstdint>
#include <random>

#include "model/interrupts/machine.h"

namespace jumpback::interrupts::test {

// A 6.1 kernel in symmetric I/O mode. INTR is wired to LINT0 alone, as on QEMU's boards.
Machine running();

// The same where firmware had set IOAPIC pin 0 to ExtINT: INTR is wired there, too, and the kernel
// knows (ioapic_i8259).
Machine running_with_ext_int_pin();

// An old board: 32-bit kernel, MP table with IMCRP.
Machine running_with_imcr();

// Any state that a kernel could run with: registers, number and versions of I/O APICs, facts.
// Consistent: saved memory agrees with the chips, LVTs obey SPIV.
Machine random_running(std::uint64_t seed);

// Any state at all of the registers that another kernel may leave behind.
void scribble(Hardware& hardware, std::mt19937_64& random);

}  // namespace jumpback::interrupts::test
