// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel does to the local APIC: arch/x86/kernel/apic/apic.c, the same from 5.10 to 7.3.
// Function names are the kernel's, so that both can be read side by side; single register accesses
// come in the kernel's order.
#pragma once

#include "model/interrupts/machine.h"

namespace jumpback::interrupts {

void clear_local_apic(Machine& machine);    // clear_local_APIC()
void apic_soft_disable(Machine& machine);   // apic_soft_disable()
void disable_local_apic(Machine& machine);  // disable_local_APIC()

// lapic_shutdown(). A 32-bit kernel that found the APIC enabled only clears it: SPIV stays enabled.
void lapic_shutdown(Machine& machine);

// disconnect_bsp_APIC(), and the parts of it. ``virtual_wire``: an I/O APIC passes INTR on, so LVT0
// is masked. The parts do nothing in PIC mode; there disconnect_pic_mode() does it all.
void disconnect_bsp_apic(Machine& machine, bool virtual_wire);
void disconnect_pic_mode(Machine& machine);
void disconnect_spiv(Machine& machine);
void disconnect_lvt0(Machine& machine, bool virtual_wire);
void disconnect_lvt1(Machine& machine);

// Syscore operations. Suspending masks the I/O APICs' entries first.
void lapic_suspend(Machine& machine);
void lapic_resume(Machine& machine);

}  // namespace jumpback::interrupts
