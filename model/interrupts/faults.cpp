// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/faults.h"

#include <utility>

#include "model/interrupts/kernel_ioapic.h"
#include "model/interrupts/kernel_lapic.h"

namespace jumpback::interrupts {
namespace {

constexpr const char* kRestore = "restore_boot_irq_mode";
constexpr const char* kLvt0Step = "restore_boot_irq_mode: LVT0";
constexpr const char* kSpivStep = "restore_boot_irq_mode: SPIV";
constexpr const char* kPinStep = "restore_boot_irq_mode: IOAPIC pin";

using Spoil = std::function<Sequence(const Sequence&)>;

Spoil leave_out(std::vector<std::string> names) {
    return [names = std::move(names)](const Sequence& steps) {
        Sequence out = steps;
        for (const std::string& name : names) {
            out = without(out, name).value();
        }
        return out;
    };
}

Spoil replace(std::string name, std::function<void(Machine&)> run) {
    return [name = std::move(name), run = std::move(run)](const Sequence& steps) {
        return replaced(steps, name, run).value();
    };
}

Spoil move_before(std::string name, std::string before) {
    return [name = std::move(name), before = std::move(before)](const Sequence& steps) {
        return moved(steps, name, before).value();
    };
}

// clear_IO_APIC() that begins at the second pin, and nothing that turns pin 0 into a wire.
Sequence leave_pin_0(const Sequence& steps) {
    const Sequence out =
        replaced(steps, "clear_IO_APIC", [](Machine& machine) {
            for (std::size_t apic = 0; apic < machine.hw.ioapics.size(); ++apic) {
                IoApic& ioapic = machine.hw.ioapics[apic];
                for (std::size_t pin = apic == 0 ? 1 : 0; pin < ioapic.pins.size(); ++pin) {
                    clear_io_apic_pin(ioapic, pin);
                }
            }
        }).value();
    return without(out, kPinStep).value();
}

Sequence shut_down_after(const Sequence& steps) {
    return inserted(
               steps,
               {"lapic_shutdown", "", "arch/x86/kernel/apic/apic.c", interrupts::lapic_shutdown},
               kRestore)
        .value();
}

void keep_lvt0_mask(Machine& machine) {
    LocalApic& lapic = machine.hw.lapic;
    const std::uint32_t mask = lapic.read(LapicReg::kLvt0) & lvt::kMasked;
    disconnect_lvt0(machine, wires_through_ioapic(machine));
    lapic.write(LapicReg::kLvt0, lapic.read(LapicReg::kLvt0) | mask);
}

void resume_without_last_pin(Machine& machine) {
    std::vector<std::vector<Rte>>& saved = machine.memory.rtes;
    const std::vector<std::vector<Rte>> all = saved;
    if (!saved.empty() && !saved.back().empty()) {
        saved.back().pop_back();
    }
    ioapic_resume(machine);
    saved = all;
}

void resume_masked(Machine& machine) {
    std::vector<std::vector<Rte>>& saved = machine.memory.rtes;
    const std::vector<std::vector<Rte>> all = saved;
    for (std::size_t apic = 0; apic < saved.size() && apic < machine.hw.ioapics.size(); ++apic) {
        for (std::size_t pin = 0; pin < saved[apic].size(); ++pin) {
            const bool masked = machine.hw.ioapics[apic].read(pin).masked();
            saved[apic][pin].set(Rte::kMasked, masked || saved[apic][pin].masked());
        }
    }
    ioapic_resume(machine);
    saved = all;
}

Sequence enable_spiv_last(const Sequence& steps) {
    Sequence out = without(steps, kSpivStep).value();
    for (const Step& step : steps) {
        if (step.name() == kSpivStep) {
            out.push_back(step);
        }
    }
    return out;
}

std::vector<Fault> make_faults() {
    std::vector<Fault> out;
    const auto add = [&out](std::string id, Path path, std::string what, std::string reg,
                            std::string step, Spoil spoil) {
        out.push_back({std::move(id), path, std::move(what), std::move(reg), std::move(step),
                       std::move(spoil)});
    };
    // The 2008 bug: kexec jump before it put the APICs into legacy mode at all.
    add("R7", Path::kJump, "no clear_IO_APIC() and no restore_boot_irq_mode() on the jump path",
        "LAPIC SPIV", kSpivStep, leave_out({"clear_IO_APIC", kRestore}));
    add("R7-restore", Path::kJump, "no restore_boot_irq_mode() on the jump path", "LAPIC LVT0",
        kLvt0Step, leave_out({kRestore}));
    add("R7-clear", Path::kJump, "no clear_IO_APIC() on the jump path", "IOAPIC 0 RTE",
        "clear_IO_APIC", leave_out({"clear_IO_APIC"}));
    add("pin0", Path::kJump, "IOAPIC 0 pin 0 left in its old mode", "IOAPIC 0 RTE 0",
        "clear_IO_APIC", leave_pin_0);
    add("pin0-wire", Path::kJump, "the pin that the 8259 is wired to is not made a wire",
        "IOAPIC 0 RTE 0", kPinStep, leave_out({kPinStep}));
    add("R8-order", Path::kJump, "restore_boot_irq_mode() before clear_IO_APIC()", "IOAPIC 0 RTE",
        kPinStep, move_before(kRestore, "clear_IO_APIC"));
    add("R8-shutdown", Path::kJump, "lapic_shutdown() after restore_boot_irq_mode()", "LAPIC LVT1",
        "restore_boot_irq_mode: LVT1", shut_down_after);
    // Commit 522e66464467, undone by the split of disable_IO_APIC() in 4.17.
    add("R8-kexec", Path::kPlainKexec, "lapic_shutdown() after restore_boot_irq_mode()",
        "LAPIC LVT1", "restore_boot_irq_mode: LVT1", move_before(kRestore, "lapic_shutdown"));
    add("R8-crash", Path::kCrash, "lapic_shutdown() after restore_boot_irq_mode()", "LAPIC LVT1",
        "restore_boot_irq_mode: LVT1", move_before(kRestore, "lapic_shutdown"));
    add("R9-lvt0", Path::kJump, "disconnect_bsp_APIC() leaves the mask bit in LVT0", "LAPIC LVT0",
        kLvt0Step, replace(kLvt0Step, keep_lvt0_mask));
    add("R9-spiv", Path::kJump, "disconnect_bsp_APIC() does not enable SPIV", "LAPIC SPIV",
        kSpivStep, leave_out({kSpivStep}));
    // Hardware keeps LVT0 masked while SPIV is off; QEMU does not, so there it leaves no trace.
    add("R9-order", Path::kJump, "disconnect_bsp_APIC() enables SPIV after LVT0 and LVT1",
        "LAPIC LVT1", "restore_boot_irq_mode: LVT1", enable_spiv_last);
    add("R10-pin", Path::kReturn, "restore_ioapic_entries() skips the last pin", "IOAPIC 0 RTE",
        "ioapic_resume", replace("ioapic_resume", resume_without_last_pin));
    add("R10-mask", Path::kReturn, "restore_ioapic_entries() keeps the mask bit", "IOAPIC 0 RTE",
        "ioapic_resume", replace("ioapic_resume", resume_masked));
    add("resume-pic", Path::kReturn, "no i8259A_resume(): IMR stays as lapic_resume() left it",
        "8259 master IMR", "i8259A_resume", leave_out({"i8259A_resume"}));
    add("resume-lapic", Path::kReturn, "no lapic_resume()", "LAPIC SPIV", "lapic_resume",
        leave_out({"lapic_resume"}));
    return out;
}

}  // namespace

const std::vector<Fault>& known_faults() {
    static const std::vector<Fault> faults = make_faults();
    return faults;
}

Hardware with_fault(const Machine& before, const Fault& fault) {
    Machine machine = before;
    if (fault.path == Path::kReturn) {
        run(sequence(Path::kJump, before.facts.version), machine);
    }
    run(fault.spoil(sequence(fault.path, before.facts.version)), machine);
    return machine.hw;
}

std::vector<std::string> explain(const Machine& before, Path path, const Hardware& found) {
    std::vector<std::string> out;
    const auto same = [&](Expectation candidate) {
        candidate.ignored.insert("LAPIC TMICT");
        return compare(candidate, found).empty();
    };
    Expectation right =
        path == Path::kReturn ? at_return_of_a(before) : at_entry_of_b(before, path);
    if (same(right)) {
        out.emplace_back("");
    }
    for (const Fault& fault : known_faults()) {
        if (fault.path != path) {
            continue;
        }
        Expectation candidate;
        candidate.hardware = with_fault(before, fault);
        candidate.ignored = right.ignored;
        if (same(std::move(candidate))) {
            out.push_back(fault.id);
        }
    }
    return out;
}

}  // namespace jumpback::interrupts
