// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/sequence.h"

#include <algorithm>
#include <utility>

#include "model/interrupts/kernel_i8259.h"
#include "model/interrupts/kernel_ioapic.h"
#include "model/interrupts/kernel_lapic.h"
#include "model/interrupts/kernel_timers.h"

namespace jumpback::interrupts {
namespace {

constexpr KernelVersion kSyscoreShutdownInKexec{6, 8};  // commit 7bb943806ff6

constexpr const char* kApic = "arch/x86/kernel/apic/apic.c";
constexpr const char* kIoApic = "arch/x86/kernel/apic/io_apic.c";
constexpr const char* kI8259 = "arch/x86/kernel/i8259.c";
constexpr const char* kTimekeeping = "kernel/time/timekeeping.c";

bool matches(const Step& step, std::string_view name) {
    return step.function == name || step.name() == name;
}

Error no_such_step(const Sequence& steps, std::string_view name) {
    std::string known;
    for (const Step& step : steps) {
        known += (known.empty() ? "" : ", ") + step.name();
    }
    return {"step '" + std::string(name) + "'", "not in this sequence, which has: " + known};
}

// restore_boot_irq_mode() by the registers that it sets, in its order.
void append_restore_boot_irq_mode(Sequence& steps) {
    const std::string function = "restore_boot_irq_mode";
    const auto guarded = [](void (*part)(Machine&)) {
        return [part](Machine& machine) {
            if (restores_boot_irq_mode(machine) && machine.facts.cpu_has_apic) {
                part(machine);
            }
        };
    };
    steps.push_back({function, "IOAPIC pin", kIoApic, route_i8259_pin});
    steps.push_back({function, "IMCR", kApic, guarded(disconnect_pic_mode)});
    steps.push_back({function, "SPIV", kApic, guarded(disconnect_spiv)});
    steps.push_back({function, "LVT0", kApic, guarded([](Machine& machine) {
                         disconnect_lvt0(machine, wires_through_ioapic(machine));
                     })});
    steps.push_back({function, "LVT1", kApic, guarded(disconnect_lvt1)});
}

// Who stops the other CPUs switches off its own local APIC as well. CONFIG_SMP only.
void stop_other_cpus(Machine& machine) {
    if (machine.facts.smp) {
        disable_local_apic(machine);
    }
}

// The end of native_machine_shutdown() and native_machine_crash_shutdown(), which is the same.
void append_machine_shutdown(Sequence& steps) {
    steps.push_back({"lapic_shutdown", "", kApic, lapic_shutdown});
    append_restore_boot_irq_mode(steps);
    steps.push_back({"hpet_disable", "", "arch/x86/kernel/hpet.c", hpet_disable});
}

}  // namespace

Sequence sequence(Path path, KernelVersion version) {
    Sequence steps;
    switch (path) {
        case Path::kJump:
            steps.push_back({"timekeeping_suspend", "", kTimekeeping, timekeeping_suspend});
            steps.push_back({"save_ioapic_entries", "", kIoApic, save_ioapic_entries});
            steps.push_back({"i8259A_suspend", "", kI8259, i8259a_suspend});
            steps.push_back({"lapic_suspend", "", kApic, lapic_suspend});
            // machine_kexec()
            steps.push_back({"clear_IO_APIC", "", kIoApic, clear_io_apic});
            append_restore_boot_irq_mode(steps);
            break;
        case Path::kReturn:
            steps.push_back({"lapic_resume", "", kApic, lapic_resume});
            steps.push_back({"i8259A_resume", "", kI8259, i8259a_resume});
            steps.push_back({"ioapic_resume", "", kIoApic, ioapic_resume});
            steps.push_back({"timekeeping_resume", "", kTimekeeping, timekeeping_resume});
            break;
        case Path::kPlainKexec:
            if (version >= kSyscoreShutdownInKexec) {
                steps.push_back({"i8259A_shutdown", "", kI8259, i8259a_shutdown});
            }
            steps.push_back({"clear_IO_APIC", "", kIoApic, clear_io_apic});
            steps.push_back(
                {"native_stop_other_cpus", "", "arch/x86/kernel/smp.c", stop_other_cpus});
            append_machine_shutdown(steps);
            break;
        case Path::kCrash:
            steps.push_back(
                {"kdump_nmi_shootdown_cpus", "", "arch/x86/kernel/crash.c", stop_other_cpus});
            steps.push_back({"clear_IO_APIC", "", kIoApic, clear_io_apic});
            append_machine_shutdown(steps);
            break;
    }
    return steps;
}

Result<Sequence> without(const Sequence& steps, std::string_view name) {
    Sequence out;
    for (const Step& step : steps) {
        if (!matches(step, name)) {
            out.push_back(step);
        }
    }
    if (out.size() == steps.size()) {
        return no_such_step(steps, name);
    }
    return out;
}

Result<Sequence> moved(const Sequence& steps, std::string_view name, std::string_view before) {
    Sequence taken;
    Sequence rest;
    for (const Step& step : steps) {
        (matches(step, name) ? taken : rest).push_back(step);
    }
    if (taken.empty()) {
        return no_such_step(steps, name);
    }
    const auto place = std::find_if(rest.begin(), rest.end(),
                                    [&](const Step& step) { return matches(step, before); });
    if (place == rest.end()) {
        return no_such_step(rest, before);
    }
    rest.insert(place, taken.begin(), taken.end());
    return rest;
}

Result<Sequence> replaced(const Sequence& steps, std::string_view name,
                          std::function<void(Machine&)> run) {
    Sequence out = steps;
    const auto place =
        std::find_if(out.begin(), out.end(), [&](const Step& step) { return matches(step, name); });
    if (place == out.end()) {
        return no_such_step(steps, name);
    }
    place->run = std::move(run);
    return out;
}

Result<Sequence> inserted(const Sequence& steps, Step step, std::string_view after) {
    Sequence out = steps;
    const auto last = std::find_if(out.rbegin(), out.rend(),
                                   [&](const Step& other) { return matches(other, after); });
    if (last == out.rend()) {
        return no_such_step(steps, after);
    }
    out.insert(last.base(), std::move(step));
    return out;
}

std::vector<TraceEntry> run(const Sequence& steps, Machine& machine) {
    std::vector<TraceEntry> trace;
    trace.reserve(steps.size());
    for (const Step& step : steps) {
        step.run(machine);
        trace.push_back({step.name(), machine.hw});
    }
    return trace;
}

std::string_view name_of(Path path) {
    switch (path) {
        case Path::kJump:
            return "jump";
        case Path::kReturn:
            return "return";
        case Path::kPlainKexec:
            return "plain kexec";
        case Path::kCrash:
            return "crash";
    }
    return "";
}

}  // namespace jumpback::interrupts
