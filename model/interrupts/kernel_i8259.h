// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel does to the pair of 8259s: arch/x86/kernel/i8259.c, the same from 5.10 to 7.3.
// With the null PIC (nr_legacy_irqs is 0) none of it does anything.
#pragma once

#include "model/interrupts/machine.h"

namespace jumpback::interrupts {

void mask_8259a(Machine& machine);    // mask_8259A(), legacy_pic->mask_all
void unmask_8259a(Machine& machine);  // unmask_8259A(): the cached masks come back
void unmask_8259a_irq(Machine& machine, unsigned irq);  // unmask_8259A_irq(), irq 0 to 15

// init_8259A(): ICW1 to ICW4 of both, vectors 0x30 and 0x38, then the cached masks.
void init_8259a(Machine& machine, bool auto_eoi);

void i8259a_suspend(Machine& machine);   // saves ELCR and nothing else; IMR stays as it is
void i8259a_resume(Machine& machine);    // init_8259A(), then ELCR
void i8259a_shutdown(Machine& machine);  // masks all, without telling the cache

}  // namespace jumpback::interrupts
