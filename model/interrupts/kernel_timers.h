// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel does to the devices that tick, where it shuts down or resumes timekeeping. They
// are neighbours of the hand-over: they decide whether the legacy timer ticks at all, and the LAPIC
// timer's registers lie among those that lapic_suspend() saves.
#pragma once

#include "model/interrupts/machine.h"

namespace jumpback::interrupts {

// timekeeping_suspend() → tick_suspend(): kernel/time/{timekeeping,tick-common,tick-broadcast}.c.
// The CPU's tick device and the broadcast device are shut down. Last registered of these syscore
// operations, hence the first to suspend.
void timekeeping_suspend(Machine& machine);
// timekeeping_resume() → tick_resume(). The LAPIC timer's count starts anew, with a value that
// depends on the next timer: TMICT is left as it is here.
void timekeeping_resume(Machine& machine);

void lapic_timer_shutdown(Machine& machine);      // apic.c: lapic_timer_shutdown()
void clockevent_i8253_disable(Machine& machine);  // drivers/clocksource/i8253.c
// hpet.c: hpet_disable(), plain kexec and crash only. The configuration of before this kernel.
void hpet_disable(Machine& machine);

}  // namespace jumpback::interrupts
