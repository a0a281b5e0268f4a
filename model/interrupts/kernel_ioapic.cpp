// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/kernel_ioapic.h"

#include "model/interrupts/kernel_lapic.h"

namespace jumpback::interrupts {
namespace {

constexpr KernelVersion kWideDestinations{5, 11};  // virt_destid_8_14 in the entry
constexpr unsigned kDestinationShift = 56;
constexpr unsigned kVirtualDestinationShift = 49;

}  // namespace

void ioapic_write_entry(IoApic& ioapic, std::size_t pin, Rte entry) {
    ioapic.write_high(pin, entry.high());
    ioapic.write_low(pin, entry.low());
}

void ioapic_mask_entry(IoApic& ioapic, std::size_t pin) {
    const Rte masked{Rte::kMasked};
    ioapic.write_low(pin, masked.low());
    ioapic.write_high(pin, masked.high());
}

void eoi_ioapic_pin(IoApic& ioapic, std::size_t pin, std::uint8_t vector) {
    if (ioapic.version >= 0x20) {
        ioapic.eoi(vector);
        return;
    }
    const Rte entry = ioapic.read(pin);
    Rte edge = entry;
    edge.set(Rte::kMasked, true);
    edge.set(Rte::kLevel, false);
    ioapic_write_entry(ioapic, pin, edge);
    ioapic_write_entry(ioapic, pin, entry);
}

void clear_io_apic_pin(IoApic& ioapic, std::size_t pin) {
    Rte entry = ioapic.read(pin);
    if (entry.delivery_mode() == DeliveryMode::kSmi) {
        return;
    }
    if (!entry.masked()) {
        entry.set(Rte::kMasked, true);
        ioapic_write_entry(ioapic, pin, entry);
        entry = ioapic.read(pin);
    }
    if (entry.remote_irr()) {
        if (!entry.level()) {
            entry.set(Rte::kLevel, true);
            ioapic_write_entry(ioapic, pin, entry);
        }
        eoi_ioapic_pin(ioapic, pin, entry.vector());
    }
    ioapic_mask_entry(ioapic, pin);
}

void clear_io_apic(Machine& machine) {
    for (IoApic& ioapic : machine.hw.ioapics) {
        for (std::size_t pin = 0; pin < ioapic.pins.size(); ++pin) {
            clear_io_apic_pin(ioapic, pin);
        }
    }
}

void save_ioapic_entries(Machine& machine) {
    machine.memory.rtes.clear();
    for (const IoApic& ioapic : machine.hw.ioapics) {
        machine.memory.rtes.push_back(ioapic.pins);
    }
}

void mask_ioapic_entries(Machine& machine) {
    std::vector<std::vector<Rte>>& saved = machine.memory.rtes;
    for (std::size_t apic = 0; apic < saved.size() && apic < machine.hw.ioapics.size(); ++apic) {
        for (std::size_t pin = 0; pin < saved[apic].size(); ++pin) {
            Rte entry = saved[apic][pin];
            if (!entry.masked()) {
                entry.set(Rte::kMasked, true);
                ioapic_write_entry(machine.hw.ioapics[apic], pin, entry);
            }
        }
    }
}

void restore_ioapic_entries(Machine& machine) {
    const std::vector<std::vector<Rte>>& saved = machine.memory.rtes;
    for (std::size_t apic = 0; apic < saved.size() && apic < machine.hw.ioapics.size(); ++apic) {
        for (std::size_t pin = 0; pin < saved[apic].size(); ++pin) {
            ioapic_write_entry(machine.hw.ioapics[apic], pin, saved[apic][pin]);
        }
    }
}

void ioapic_resume(Machine& machine) {
    const std::vector<std::uint32_t>& ids = machine.memory.ioapic_ids;
    for (std::size_t apic = machine.hw.ioapics.size(); apic-- > 0;) {
        if (apic < ids.size()) {
            machine.hw.ioapics[apic].id = ids[apic] & 0xf;  // resume_ioapic_id()
        }
    }
    restore_ioapic_entries(machine);
}

void route_i8259_pin(Machine& machine) {
    if (!restores_boot_irq_mode(machine) || !wires_through_ioapic(machine)) {
        return;
    }
    const PinRef& wire = *machine.facts.ioapic_i8259;
    if (wire.apic >= machine.hw.ioapics.size()) {
        return;
    }
    const std::uint64_t apic_id = machine.hw.lapic.apic_id();
    Rte entry{0};
    entry.raw |= static_cast<std::uint64_t>(DeliveryMode::kExtInt) << 8;
    entry.raw |= (apic_id & 0xff) << kDestinationShift;
    if (machine.facts.version >= kWideDestinations) {
        entry.raw |= ((apic_id >> 8) & 0x7f) << kVirtualDestinationShift;
    }
    ioapic_write_entry(machine.hw.ioapics[wire.apic], wire.pin, entry);
}

bool restores_boot_irq_mode(const Machine& machine) { return machine.facts.nr_legacy_irqs != 0; }

bool wires_through_ioapic(const Machine& machine) {
    // irq_remapping_restore_boot_irq_mode() always takes the local APIC.
    return !machine.facts.irq_remapping && machine.facts.ioapic_i8259.has_value();
}

void restore_boot_irq_mode(Machine& machine) {
    if (!restores_boot_irq_mode(machine)) {
        return;
    }
    route_i8259_pin(machine);
    if (machine.facts.cpu_has_apic) {
        disconnect_bsp_apic(machine, wires_through_ioapic(machine));
    }
}

}  // namespace jumpback::interrupts
