// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel does to the I/O APICs: arch/x86/kernel/apic/io_apic.c, the same from 5.10 to 7.3,
// but for the width of a destination (5.10: 8 bits).
#pragma once

#include "model/interrupts/machine.h"

namespace jumpback::interrupts {

void ioapic_write_entry(IoApic& ioapic, std::size_t pin, Rte entry);        // upper half first
void ioapic_mask_entry(IoApic& ioapic, std::size_t pin);                    // lower half first
void eoi_ioapic_pin(IoApic& ioapic, std::size_t pin, std::uint8_t vector);  // __eoi_ioapic_pin()

void clear_io_apic_pin(IoApic& ioapic, std::size_t pin);  // clear_IO_APIC_pin(): SMI pins stay
void clear_io_apic(Machine& machine);                     // clear_IO_APIC()

void save_ioapic_entries(Machine& machine);  // save_ioapic_entries(), syscore suspend
// Writes the saved entries with the mask bit set, those that were saved unmasked.
void mask_ioapic_entries(Machine& machine);
void restore_ioapic_entries(Machine& machine);
void ioapic_resume(Machine& machine);  // ioapic_resume(), syscore resume

// native_restore_boot_irq_mode() without its call of disconnect_bsp_APIC(): the pin that the 8259
// is wired to becomes a virtual wire. Nothing where the kernel knows of none.
void route_i8259_pin(Machine& machine);

// Whether restore_boot_irq_mode() does anything: not with the null PIC.
[[nodiscard]] bool restores_boot_irq_mode(const Machine& machine);
// Whether the virtual wire goes through an I/O APIC: the argument of disconnect_bsp_APIC().
[[nodiscard]] bool wires_through_ioapic(const Machine& machine);
// restore_boot_irq_mode() as a whole.
void restore_boot_irq_mode(Machine& machine);

}  // namespace jumpback::interrupts
