// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/kernel_functions.h"

#include "model/interrupts/kernel_i8259.h"
#include "model/interrupts/kernel_ioapic.h"
#include "model/interrupts/kernel_lapic.h"
#include "model/interrupts/kernel_timers.h"

namespace jumpback::interrupts {
namespace {

struct Named {
    const char* name;
    void (*run)(Machine&);
};

constexpr Named kFunctions[] = {
    {"clear_local_APIC", clear_local_apic},
    {"apic_soft_disable", apic_soft_disable},
    {"disable_local_APIC", disable_local_apic},
    {"lapic_shutdown", lapic_shutdown},
    {"lapic_suspend", lapic_suspend},
    {"lapic_resume", lapic_resume},
    {"clear_IO_APIC", clear_io_apic},
    {"save_ioapic_entries", save_ioapic_entries},
    {"mask_ioapic_entries", mask_ioapic_entries},
    {"restore_ioapic_entries", restore_ioapic_entries},
    {"ioapic_resume", ioapic_resume},
    {"restore_boot_irq_mode", restore_boot_irq_mode},
    // The same: what it has beyond the above is the null PIC's check, which its caller makes.
    {"native_restore_boot_irq_mode", restore_boot_irq_mode},
    {"disconnect_bsp_APIC(0)", [](Machine& m) { disconnect_bsp_apic(m, false); }},
    {"disconnect_bsp_APIC(1)", [](Machine& m) { disconnect_bsp_apic(m, true); }},
    {"mask_8259A", mask_8259a},
    {"unmask_8259A", unmask_8259a},
    {"i8259A_suspend", i8259a_suspend},
    {"i8259A_resume", i8259a_resume},
    {"i8259A_shutdown", i8259a_shutdown},
    {"timekeeping_suspend", timekeeping_suspend},
    {"timekeeping_resume", timekeeping_resume},
    {"hpet_disable", hpet_disable},
};

}  // namespace

std::vector<std::string> function_names() {
    std::vector<std::string> out;
    for (const Named& function : kFunctions) {
        out.emplace_back(function.name);
    }
    return out;
}

Status call(Machine& machine, std::string_view name) {
    for (const Named& function : kFunctions) {
        if (function.name == name) {
            function.run(machine);
            return success();
        }
    }
    for (const Path path : {Path::kJump, Path::kPlainKexec, Path::kCrash}) {
        for (const Step& step : sequence(path, machine.facts.version)) {
            if (step.name() == name) {
                step.run(machine);
                return success();
            }
        }
    }
    return Error{"function '" + std::string(name) + "'", "the model has none of that name"};
}

}  // namespace jumpback::interrupts
