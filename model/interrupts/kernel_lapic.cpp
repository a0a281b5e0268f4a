// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/kernel_lapic.h"

#include "model/interrupts/kernel_i8259.h"
#include "model/interrupts/kernel_ioapic.h"

namespace jumpback::interrupts {
namespace {

constexpr std::uint32_t kErrorApicVector = 0xfe;  // asm/irq_vectors.h

void set_bits(LocalApic& lapic, LapicReg reg, std::uint32_t bits) {
    lapic.write(reg, lapic.read(reg) | bits);
}

// All of what disconnect_bsp_APIC() clears in LVT0 and LVT1 before it chooses a mode.
std::uint32_t edge_high_unmasked(std::uint32_t value) {
    value &= ~(lvt::kModeMask | lvt::kSendPending | lvt::kActiveLow | lvt::kRemoteIrr |
               lvt::kLevel | lvt::kMasked);
    // The kernel sets these two read-only bits on purpose; hardware ignores them.
    return value | lvt::kRemoteIrr | lvt::kSendPending;
}

// CONFIG_X86_32 only: the variable does not exist elsewhere.
bool goes_back_to_pic_mode(const KernelFacts& facts) { return facts.is_32bit && facts.pic_mode; }

}  // namespace

void clear_local_apic(Machine& machine) {
    if (!machine.facts.lapic_mapped) {
        return;
    }
    LocalApic& lapic = machine.hw.lapic;
    const unsigned max_lvt = (lapic.read(LapicReg::kVersion) >> 16) & 0xff;
    if (max_lvt >= 3) {
        lapic.write(LapicReg::kLvtError, kErrorApicVector | lvt::kMasked);
    }
    set_bits(lapic, LapicReg::kLvtTimer, lvt::kMasked);
    set_bits(lapic, LapicReg::kLvt0, lvt::kMasked);
    set_bits(lapic, LapicReg::kLvt1, lvt::kMasked);
    if (max_lvt >= 4) {
        set_bits(lapic, LapicReg::kLvtPerf, lvt::kMasked);
    }
    // Thermal and CMCI are masked only: their vectors and modes are the firmware's.
    if (machine.facts.thermal_vector && max_lvt >= 5) {
        set_bits(lapic, LapicReg::kLvtThermal, lvt::kMasked);
    }
    if (machine.facts.mce_intel && max_lvt >= 6) {
        set_bits(lapic, LapicReg::kLvtCmci, lvt::kMasked);
    }
    lapic.write(LapicReg::kLvtTimer, lvt::kMasked);
    lapic.write(LapicReg::kLvt0, lvt::kMasked);
    lapic.write(LapicReg::kLvt1, lvt::kMasked);
    if (max_lvt >= 3) {
        lapic.write(LapicReg::kLvtError, lvt::kMasked);
    }
    if (max_lvt >= 4) {
        lapic.write(LapicReg::kLvtPerf, lvt::kMasked);
    }
    if (max_lvt > 3) {
        lapic.write(LapicReg::kEsr, 0);
    }
}

void apic_soft_disable(Machine& machine) {
    clear_local_apic(machine);
    LocalApic& lapic = machine.hw.lapic;
    lapic.write(LapicReg::kSpiv, lapic.read(LapicReg::kSpiv) & ~kSpivEnabled);
}

void disable_local_apic(Machine& machine) {
    if (!machine.facts.lapic_mapped) {
        return;
    }
    apic_soft_disable(machine);
    if (machine.facts.is_32bit && machine.facts.enabled_via_apicbase) {
        machine.hw.lapic.write_apicbase(machine.hw.lapic.apicbase & ~kApicBaseEnabled);
    }
}

void lapic_shutdown(Machine& machine) {
    if (!machine.facts.cpu_has_apic) {
        return;
    }
    if (machine.facts.is_32bit && !machine.facts.enabled_via_apicbase) {
        clear_local_apic(machine);
    } else {
        disable_local_apic(machine);
    }
}

void disconnect_bsp_apic(Machine& machine, bool virtual_wire) {
    disconnect_pic_mode(machine);
    disconnect_spiv(machine);
    disconnect_lvt0(machine, virtual_wire);
    disconnect_lvt1(machine);
}

void disconnect_pic_mode(Machine& machine) {
    if (goes_back_to_pic_mode(machine.facts)) {
        machine.hw.imcr_apic = false;  // imcr_apic_to_pic()
    }
}

void disconnect_spiv(Machine& machine) {
    if (goes_back_to_pic_mode(machine.facts)) {
        return;
    }
    LocalApic& lapic = machine.hw.lapic;
    std::uint32_t value = lapic.read(LapicReg::kSpiv);
    value &= ~lvt::kVector;
    value |= kSpivEnabled;
    value |= 0xf;
    lapic.write(LapicReg::kSpiv, value);
}

void disconnect_lvt0(Machine& machine, bool virtual_wire) {
    if (goes_back_to_pic_mode(machine.facts)) {
        return;
    }
    LocalApic& lapic = machine.hw.lapic;
    if (virtual_wire) {
        lapic.write(LapicReg::kLvt0, lvt::kMasked);
        return;
    }
    lapic.write(LapicReg::kLvt0,
                edge_high_unmasked(lapic.read(LapicReg::kLvt0)) | lvt::kModeExtInt);
}

void disconnect_lvt1(Machine& machine) {
    if (goes_back_to_pic_mode(machine.facts)) {
        return;
    }
    LocalApic& lapic = machine.hw.lapic;
    lapic.write(LapicReg::kLvt1, edge_high_unmasked(lapic.read(LapicReg::kLvt1)) | lvt::kModeNmi);
}

void lapic_suspend(Machine& machine) {
    if (!machine.facts.lapic_pm_active) {
        return;
    }
    const LocalApic& lapic = machine.hw.lapic;
    LapicSaved& saved = machine.memory.lapic;
    const unsigned max_lvt = (lapic.read(LapicReg::kVersion) >> 16) & 0xff;
    saved.id = lapic.read(LapicReg::kId);
    saved.taskpri = lapic.read(LapicReg::kTpr);
    saved.ldr = lapic.read(LapicReg::kLdr);
    saved.dfr = lapic.read(LapicReg::kDfr);
    saved.spiv = lapic.read(LapicReg::kSpiv);
    saved.lvtt = lapic.read(LapicReg::kLvtTimer);
    if (max_lvt >= 4) {
        saved.lvtpc = lapic.read(LapicReg::kLvtPerf);
    }
    saved.lvt0 = lapic.read(LapicReg::kLvt0);
    saved.lvt1 = lapic.read(LapicReg::kLvt1);
    saved.lvterr = lapic.read(LapicReg::kLvtError);
    saved.tmict = lapic.read(LapicReg::kTmict);
    saved.tdcr = lapic.read(LapicReg::kTdcr);
    if (machine.facts.thermal_vector && max_lvt >= 5) {
        saved.thmr = lapic.read(LapicReg::kLvtThermal);
    }
    if (machine.facts.mce_intel && max_lvt >= 6) {
        saved.cmci = lapic.read(LapicReg::kLvtCmci);
    }
    mask_ioapic_entries(machine);
    disable_local_apic(machine);
}

void lapic_resume(Machine& machine) {
    if (!machine.facts.lapic_pm_active) {
        return;
    }
    mask_ioapic_entries(machine);
    mask_8259a(machine);
    LocalApic& lapic = machine.hw.lapic;
    if (!lapic.x2apic()) {
        lapic.write_apicbase((lapic.apicbase & ~kApicBaseAddress) | kApicBaseEnabled |
                             machine.facts.lapic_address);
    }
    const LapicSaved& saved = machine.memory.lapic;
    const unsigned max_lvt = (lapic.read(LapicReg::kVersion) >> 16) & 0xff;
    lapic.write(LapicReg::kLvtError, kErrorApicVector | lvt::kMasked);
    lapic.write(LapicReg::kId, saved.id);
    lapic.write(LapicReg::kDfr, saved.dfr);
    lapic.write(LapicReg::kLdr, saved.ldr);
    lapic.write(LapicReg::kTpr, saved.taskpri);
    lapic.write(LapicReg::kSpiv, saved.spiv);
    lapic.write(LapicReg::kLvt0, saved.lvt0);
    lapic.write(LapicReg::kLvt1, saved.lvt1);
    if (machine.facts.thermal_vector && max_lvt >= 5) {
        lapic.write(LapicReg::kLvtThermal, saved.thmr);
    }
    if (machine.facts.mce_intel && max_lvt >= 6) {
        lapic.write(LapicReg::kLvtCmci, saved.cmci);
    }
    if (max_lvt >= 4) {
        lapic.write(LapicReg::kLvtPerf, saved.lvtpc);
    }
    lapic.write(LapicReg::kLvtTimer, saved.lvtt);
    lapic.write(LapicReg::kTdcr, saved.tdcr);
    lapic.write(LapicReg::kTmict, saved.tmict);
    lapic.write(LapicReg::kEsr, 0);
    lapic.write(LapicReg::kLvtError, saved.lvterr);
    lapic.write(LapicReg::kEsr, 0);
}

}  // namespace jumpback::interrupts
