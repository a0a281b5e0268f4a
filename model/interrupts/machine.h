// SPDX-License-Identifier: GPL-2.0-or-later
//
// All that the hand-over of interrupts from one kernel to another touches: the controllers, how the
// board wires them, and what the running kernel knows and has saved.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/interrupts/io_apic.h"
#include "model/interrupts/local_apic.h"
#include "model/interrupts/pic8259.h"
#include "model/interrupts/pit8254.h"

namespace jumpback::interrupts {

// A pin of an I/O APIC, both counted from 0 as the kernel counts them.
struct PinRef {
    std::size_t apic = 0;
    std::size_t pin = 0;
    bool operator==(const PinRef&) const = default;
};

// The registers. Of the local APICs only the one whose CPU goes on: the others are offline by then
// (suspend_disable_secondary_cpus(), stop_other_cpus()).
struct Hardware {
    LocalApic lapic;
    std::vector<IoApic> ioapics{1};
    PicPair pics;
    Pit8254 pit;
    Hpet hpet;
    // Interrupt mode configuration register of MP 1.4 boards, bit 0. False: the 8259's INTR goes
    // straight to the boot CPU (PIC mode). Means nothing where the board has none.
    bool imcr_apic = false;

    bool operator==(const Hardware&) const = default;
};

// Wires. The defaults are QEMU's pc and q35 boards.
struct Board {
    std::optional<PinRef> pit_pin = PinRef{0, 2};  // IRQ 0, mostly by an override to pin 2
    std::optional<PinRef> intr_pin{};              // the 8259's INTR; mostly pin 0 where there is
    bool intr_on_lint0 = true;                     // INTR reaches LINT0 of this CPU
    bool imcr_present = false;

    bool operator==(const Board&) const = default;
};

struct KernelVersion {
    unsigned major = 6;
    unsigned minor = 1;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a rewritten "<"
    constexpr auto operator<=>(const KernelVersion&) const = default;
};

// What serves the tick (struct clock_event_device of tick_cpu_device and tick_broadcast_device).
enum class ClockEvent : std::uint8_t { kNone, kLapicTimer, kPit, kHpet };

// What the kernel found out at boot: each is one variable or configuration option of it.
struct KernelFacts {
    KernelVersion version{};
    bool is_32bit = false;
    std::optional<PinRef> ioapic_i8259{};      // io_apic.c: ioapic_i8259; none: pin is -1
    unsigned nr_legacy_irqs = 16;              // of legacy_pic; 0 for null_legacy_pic
    bool smp = true;                           // CONFIG_SMP
    bool cpu_has_apic = true;                  // X86_FEATURE_APIC, or apic_from_smp_config()
    bool lapic_mapped = true;                  // x2apic_mode or apic_phys
    bool lapic_pm_active = true;               // apic_pm_state.active
    bool pic_mode = false;                     // 32-bit, by the MP table's IMCRP bit
    bool enabled_via_apicbase = false;         // 32-bit: the kernel set APICBASE's enable bit
    bool irq_remapping = false;                // irq_remapping_restore_boot_irq_mode() is in force
    bool thermal_vector = true;                // CONFIG_X86_THERMAL_VECTOR
    bool mce_intel = false;                    // CONFIG_X86_MCE_INTEL
    std::uint32_t lapic_address = 0xfee00000;  // mp_lapic_addr
    ClockEvent tick = ClockEvent::kLapicTimer;
    bool tick_periodic = false;  // else one-shot
    ClockEvent broadcast = ClockEvent::kHpet;
    bool hpet_was_enabled = false;  // hpet_base.boot_cfg, which hpet_disable() puts back
    bool hpet_was_legacy = false;

    bool operator==(const KernelFacts&) const = default;
};

// apic.c: apic_pm_state
struct LapicSaved {
    std::uint32_t id = 0, taskpri = 0, ldr = 0, dfr = 0, spiv = 0, lvtt = 0, lvtpc = 0, lvt0 = 0,
                  lvt1 = 0, lvterr = 0, tmict = 0, tdcr = 0, thmr = 0, cmci = 0;
    bool operator==(const LapicSaved&) const = default;
};

// The kernel's own memory of the controllers.
struct KernelMemory {
    LapicSaved lapic{};
    std::vector<std::vector<Rte>> rtes{};     // ioapics[].saved_registers; empty: none allocated
    std::vector<std::uint32_t> ioapic_ids{};  // mpc_ioapic_id(); empty: as the chips have them
    std::array<std::uint8_t, 2> elcr{};       // i8259.c: irq_trigger
    std::uint16_t cached_irq_mask = 0xffff;   // i8259.c
    bool auto_eoi = true;                     // i8259.c: i8259A_auto_eoi

    bool operator==(const KernelMemory&) const = default;
};

struct Machine {
    Hardware hw;
    Board board;
    KernelFacts facts;
    KernelMemory memory;

    bool operator==(const Machine&) const = default;
};

}  // namespace jumpback::interrupts
