// SPDX-License-Identifier: GPL-2.0-or-later
//
// Expectations, differences, known faults, and the way of the tick.
#include <pybind11/stl.h>

#include "model/interrupts/expectation.h"
#include "model/interrupts/faults.h"
#include "model/interrupts/python/bindings.h"
#include "model/interrupts/registers.h"
#include "model/interrupts/tick_path.h"

namespace py = pybind11;

namespace jumpback::interrupts::python {
namespace {

std::vector<std::string> texts(const std::vector<Obstacle>& obstacles) {
    std::vector<std::string> out;
    out.reserve(obstacles.size());
    for (const Obstacle& obstacle : obstacles) {
        out.push_back(obstacle.text);
    }
    return out;
}

std::string source_name(TickSource source) {
    switch (source) {
        case TickSource::kNone:
            return "none";
        case TickSource::kPit:
            return "PIT";
        case TickSource::kHpet:
            return "HPET";
    }
    return "";
}

std::vector<std::string> steps_of(const std::string& path, const Machine& machine) {
    std::vector<std::string> out;
    for (const Step& step : sequence(path_of(path), machine.facts.version)) {
        out.push_back(step.name());
    }
    return out;
}

void bind_expectation(py::module_& module) {
    py::class_<Difference>(module, "Difference")
        .def_readonly("register", &Difference::reg)
        .def_readonly("expected", &Difference::expected)
        .def_readonly("found", &Difference::found)
        .def_readonly("missing", &Difference::missing)
        .def_readonly("expected_meaning", &Difference::expected_meaning)
        .def_readonly("found_meaning", &Difference::found_meaning)
        .def_readonly("step", &Difference::step)
        .def_readonly("since", &Difference::since)
        .def("__str__", &Difference::text)
        .def("__repr__", &Difference::text);
    py::class_<Expectation>(module, "Expectation")
        .def("registers", [](const Expectation& self) { return values(self.hardware); })
        .def_property_readonly("ignored",
                               [](const Expectation& self) {
                                   return std::vector<std::string>(self.ignored.begin(),
                                                                   self.ignored.end());
                               })
        .def_property_readonly("trace", [](const Expectation& self) {
            std::vector<std::pair<std::string, std::map<std::string, std::uint64_t>>> out;
            for (const TraceEntry& entry : self.trace) {
                out.emplace_back(entry.step, values(entry.after));
            }
            return out;
        });
    module.def(
        "at_entry_of_b",
        [](const Machine& before, const std::string& path) {
            return at_entry_of_b(before, path_of(path));
        },
        py::arg("before"), py::arg("path") = "jump");
    module.def("at_return_of_a", &at_return_of_a, py::arg("before"));
    module.def(
        "compare",
        [](const Expectation& expected, const Machine& found) {
            return compare(expected, found.hw);
        },
        py::arg("expected"), py::arg("found"));
    module.def(
        "differences",
        [](const Machine& expected, const Machine& found) {
            Expectation expectation;
            expectation.hardware = expected.hw;
            return compare(expectation, found.hw);
        },
        py::arg("expected"), py::arg("found"));
    module.def("steps", &steps_of, py::arg("path"), py::arg("machine"));
}

void bind_faults(py::module_& module) {
    py::class_<Fault>(module, "Fault")
        .def_readonly("id", &Fault::id)
        .def_readonly("what", &Fault::what)
        .def_readonly("register", &Fault::reg)
        .def_readonly("step", &Fault::step)
        .def_property_readonly("path",
                               [](const Fault& self) { return std::string(name_of(self.path)); });
    module.def("known_faults", &known_faults);
    module.def(
        "with_fault",
        [](const Machine& before, const std::string& id) {
            for (const Fault& fault : known_faults()) {
                if (fault.id == id) {
                    Machine out = before;
                    out.hw = with_fault(before, fault);
                    return out;
                }
            }
            throw ModelError({"fault '" + id + "'", "no fault of that id is known"});
        },
        py::arg("before"), py::arg("fault"));
    module.def(
        "explain",
        [](const Machine& before, const std::string& path, const Machine& found) {
            return explain(before, path_of(path), found.hw);
        },
        py::arg("before"), py::arg("path"), py::arg("found"));
}

void bind_tick(py::module_& module) {
    py::class_<TickAnswer>(module, "TickAnswer")
        .def_property_readonly(
            "path", [](const TickAnswer& self) { return std::string(name_of(self.path)); })
        .def_readonly("open_to_pic", &TickAnswer::open_to_pic)
        .def_readonly("ticks_now", &TickAnswer::ticks_now)
        .def_property_readonly("source",
                               [](const TickAnswer& self) { return source_name(self.source); })
        .def_property_readonly("obstacles",
                               [](const TickAnswer& self) { return texts(self.obstacles); })
        .def_property_readonly("paths", [](const TickAnswer& self) {
            std::map<std::string, std::vector<std::string>> out;
            for (const PathCheck& check : self.paths) {
                out[std::string(name_of(check.path))] = texts(check.obstacles);
            }
            return out;
        });
    module.def(
        "can_tick_reach",
        [](const Machine& machine) { return can_tick_reach(machine.hw, machine.board); },
        py::arg("machine"));
}

}  // namespace

Path path_of(const std::string& name) {
    for (const Path path : {Path::kJump, Path::kReturn, Path::kPlainKexec, Path::kCrash}) {
        if (name == name_of(path)) {
            return path;
        }
    }
    throw ModelError({"path '" + name + "'", "jump, return, plain kexec or crash was expected"});
}

void bind_oracle(py::module_& module) {
    bind_expectation(module);
    bind_faults(module);
    bind_tick(module);
}

}  // namespace jumpback::interrupts::python
