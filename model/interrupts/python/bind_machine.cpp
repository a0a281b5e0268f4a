// SPDX-License-Identifier: GPL-2.0-or-later
//
// Machine: registers by name, facts, saved memory; single kernel functions.
#include <pybind11/stl.h>

#include <array>
#include <charconv>
#include <string_view>

#include "model/interrupts/kernel_functions.h"
#include "model/interrupts/python/bindings.h"
#include "model/interrupts/registers.h"

namespace py = pybind11;

namespace jumpback::interrupts::python {
namespace {

using Pin = std::optional<std::pair<std::size_t, std::size_t>>;

Pin to_pair(const std::optional<PinRef>& pin) {
    return pin ? Pin{{pin->apic, pin->pin}} : std::nullopt;
}

std::optional<PinRef> to_ref(const Pin& pin) {
    return pin ? std::optional<PinRef>{PinRef{pin->first, pin->second}} : std::nullopt;
}

// "6.1", "6.1.192", "7.3-rc7": the first two numbers.
KernelVersion version_of(const std::string& text) {
    KernelVersion version;
    const char* end = text.data() + text.size();
    const auto major = std::from_chars(text.data(), end, version.major);
    if (major.ec == std::errc{} && major.ptr != end && *major.ptr == '.' &&
        std::from_chars(major.ptr + 1, end, version.minor).ec == std::errc{}) {
        return version;
    }
    throw ModelError({"kernel version '" + text + "'", "MAJOR.MINOR was expected"});
}

constexpr std::pair<const char*, ClockEvent> kClockEvents[] = {{"none", ClockEvent::kNone},
                                                               {"lapic", ClockEvent::kLapicTimer},
                                                               {"pit", ClockEvent::kPit},
                                                               {"hpet", ClockEvent::kHpet}};

std::string name_of_event(ClockEvent event) {
    for (const auto& [name, value] : kClockEvents) {
        if (value == event) {
            return name;
        }
    }
    return "";
}

ClockEvent event_of(const std::string& name) {
    for (const auto& [other, value] : kClockEvents) {
        if (name == other) {
            return value;
        }
    }
    throw ModelError({"tick device '" + name + "'", "none, lapic, pit or hpet was expected"});
}

Machine make(const std::string& version, const std::string& arch, const std::string& flavour,
             const std::vector<std::size_t>& pins) {
    Machine machine;
    machine.facts.version = version_of(version);
    if (arch != "x86_64" && arch != "i386") {
        throw ModelError({"architecture '" + arch + "'", "x86_64 or i386 was expected"});
    }
    machine.facts.is_32bit = arch == "i386";
    if (flavour != "hardware" && flavour != "qemu") {
        throw ModelError({"flavour '" + flavour + "'", "hardware or qemu was expected"});
    }
    machine.hw.ioapics.assign(pins.size(), {});
    for (std::size_t apic = 0; apic < pins.size(); ++apic) {
        if (pins[apic] > 240) {  // the version register has 8 bits, the index register less
            throw ModelError({"IOAPIC " + std::to_string(apic), "more than 240 pins"});
        }
        machine.hw.ioapics[apic].pins.resize(pins[apic]);
    }
    if (flavour == "qemu") {
        machine.hw.lapic.flavour = LapicFlavour::kQemu;
        for (IoApic& ioapic : machine.hw.ioapics) {
            ioapic.high_writable = 0xffffffff;
        }
    }
    return machine;
}

using SavedField = std::uint32_t LapicSaved::*;
constexpr std::pair<const char*, SavedField> kSaved[] = {
    {"apic_id", &LapicSaved::id},       {"apic_taskpri", &LapicSaved::taskpri},
    {"apic_ldr", &LapicSaved::ldr},     {"apic_dfr", &LapicSaved::dfr},
    {"apic_spiv", &LapicSaved::spiv},   {"apic_lvtt", &LapicSaved::lvtt},
    {"apic_lvtpc", &LapicSaved::lvtpc}, {"apic_lvt0", &LapicSaved::lvt0},
    {"apic_lvt1", &LapicSaved::lvt1},   {"apic_lvterr", &LapicSaved::lvterr},
    {"apic_tmict", &LapicSaved::tmict}, {"apic_tdcr", &LapicSaved::tdcr},
    {"apic_thmr", &LapicSaved::thmr},   {"apic_cmci", &LapicSaved::cmci},
};

std::map<std::string, std::uint32_t> saved_lapic(const Machine& machine) {
    std::map<std::string, std::uint32_t> out;
    for (const auto& [name, field] : kSaved) {
        out[name] = machine.memory.lapic.*field;
    }
    return out;
}

void set_saved_lapic(Machine& machine, const std::map<std::string, std::uint32_t>& values) {
    for (const auto& [name, value] : values) {
        bool found = false;
        for (const auto& [other, field] : kSaved) {
            if (name == other) {
                machine.memory.lapic.*field = value;
                found = true;
            }
        }
        if (!found) {
            throw ModelError({"apic_pm_state." + name, "there is no such field"});
        }
    }
}

std::vector<std::vector<std::uint64_t>> saved_rtes(const Machine& machine) {
    std::vector<std::vector<std::uint64_t>> out;
    for (const std::vector<Rte>& apic : machine.memory.rtes) {
        std::vector<std::uint64_t>& row = out.emplace_back();
        for (const Rte& entry : apic) {
            row.push_back(entry.raw);
        }
    }
    return out;
}

void set_saved_rtes(Machine& machine, const std::vector<std::vector<std::uint64_t>>& rows) {
    machine.memory.rtes.clear();
    for (const std::vector<std::uint64_t>& row : rows) {
        std::vector<Rte>& apic = machine.memory.rtes.emplace_back();
        for (const std::uint64_t raw : row) {
            apic.push_back({raw});
        }
    }
}

// A plain field of one of the machine's parts as a Python attribute.
template <typename Part, typename Field>
void attribute(py::class_<Machine>& machine, const char* name, Part Machine::*part,
               Field Part::*field) {
    machine.def_property(
        name, [part, field](const Machine& self) { return self.*part.*field; },
        [part, field](Machine& self, const Field& value) { self.*part.*field = value; });
}

template <typename Part>
void pin_attribute(py::class_<Machine>& machine, const char* name, Part Machine::*part,
                   std::optional<PinRef> Part::*field) {
    machine.def_property(
        name, [part, field](const Machine& self) { return to_pair(self.*part.*field); },
        [part, field](Machine& self, const Pin& value) { self.*part.*field = to_ref(value); });
}

void bind_facts(py::class_<Machine>& machine) {
    attribute(machine, "nr_legacy_irqs", &Machine::facts, &KernelFacts::nr_legacy_irqs);
    attribute(machine, "smp", &Machine::facts, &KernelFacts::smp);
    attribute(machine, "cpu_has_apic", &Machine::facts, &KernelFacts::cpu_has_apic);
    attribute(machine, "pic_mode", &Machine::facts, &KernelFacts::pic_mode);
    attribute(machine, "enabled_via_apicbase", &Machine::facts, &KernelFacts::enabled_via_apicbase);
    attribute(machine, "irq_remapping", &Machine::facts, &KernelFacts::irq_remapping);
    attribute(machine, "thermal_vector", &Machine::facts, &KernelFacts::thermal_vector);
    attribute(machine, "mce_intel", &Machine::facts, &KernelFacts::mce_intel);
    attribute(machine, "tick_periodic", &Machine::facts, &KernelFacts::tick_periodic);
    attribute(machine, "hpet_was_enabled", &Machine::facts, &KernelFacts::hpet_was_enabled);
    attribute(machine, "hpet_was_legacy", &Machine::facts, &KernelFacts::hpet_was_legacy);
    pin_attribute(machine, "ioapic_i8259", &Machine::facts, &KernelFacts::ioapic_i8259);
    machine.def_property(
        "tick", [](const Machine& self) { return name_of_event(self.facts.tick); },
        [](Machine& self, const std::string& name) { self.facts.tick = event_of(name); });
    machine.def_property(
        "broadcast", [](const Machine& self) { return name_of_event(self.facts.broadcast); },
        [](Machine& self, const std::string& name) { self.facts.broadcast = event_of(name); });
    pin_attribute(machine, "pit_pin", &Machine::board, &Board::pit_pin);
    pin_attribute(machine, "intr_pin", &Machine::board, &Board::intr_pin);
    attribute(machine, "intr_on_lint0", &Machine::board, &Board::intr_on_lint0);
    attribute(machine, "imcr_present", &Machine::board, &Board::imcr_present);
    attribute(machine, "cached_irq_mask", &Machine::memory, &KernelMemory::cached_irq_mask);
    attribute(machine, "auto_eoi", &Machine::memory, &KernelMemory::auto_eoi);
    attribute(machine, "ioapic_ids", &Machine::memory, &KernelMemory::ioapic_ids);
    attribute(machine, "saved_elcr", &Machine::memory, &KernelMemory::elcr);
    machine.def_property("saved_lapic", saved_lapic, set_saved_lapic);
    machine.def_property("saved_rtes", saved_rtes, set_saved_rtes);
}

}  // namespace

std::map<std::string, std::uint64_t> values(const Hardware& hardware) {
    std::map<std::string, std::uint64_t> out;
    for (const Register& reg : registers(hardware)) {
        out[reg.name] = reg.value;
    }
    return out;
}

void bind_machine(py::module_& module) {
    py::class_<Machine> machine(module, "Machine");
    machine
        .def(py::init(&make), py::arg("version") = "6.1", py::arg("arch") = "x86_64",
             py::arg("flavour") = "hardware", py::arg("ioapic_pins") = std::vector<std::size_t>{24})
        .def("copy", [](const Machine& self) { return Machine(self); })
        .def("__eq__", [](const Machine& self, const Machine& other) { return self == other; })
        .def("__getitem__",
             [](const Machine& self, const std::string& name) {
                 return take(jumpback::interrupts::get(self.hw, name));
             })
        .def("__setitem__",
             [](Machine& self, const std::string& name, std::uint64_t value) {
                 take(jumpback::interrupts::set(self.hw, name, value));
             })
        .def("registers", [](const Machine& self) { return values(self.hw); })
        .def(
            "call",
            [](Machine& self, const std::string& function) {
                take(jumpback::interrupts::call(self, function));
            },
            py::arg("function"));
    bind_facts(machine);
    module.def("functions", &function_names);
    module.def("meaning", &meaning, py::arg("register"), py::arg("value"));
}

}  // namespace jumpback::interrupts::python
