// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_jump: the order of steps in kernel_kexec() and machine_kexec(), and its judging.
// Described in harness/typings/jumpback_jump.pyi.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "model/jump/judge.h"
#include "model/jump/python/convert.h"

namespace py = pybind11;

namespace jumpback::jump::python {
namespace {

using Ids = std::vector<std::string>;

Kernel make_kernel(const std::string& release, const std::string& arch, const Ids& left_out) {
    if (arch != "x86_64" && arch != "i386") {
        throw py::value_error("architecture '" + arch + "': expected x86_64 or i386");
    }
    Kernel kernel{take(parse_version(release)), arch == "i386" ? Arch::i386 : Arch::x86_64, {}};
    for (const std::string& id : left_out) {
        kernel.left_out.add(to_step(id));
    }
    return kernel;
}

Ids left_out_of(const Kernel& kernel) {
    Ids out;
    for (const StepInfo& row : all_steps()) {
        if (kernel.left_out.contains(row.step)) {
            out.emplace_back(row.id);
        }
    }
    return out;
}

Scenario make_scenario(const std::string& branch, const std::optional<std::string>& failing,
                       int error) {
    Scenario scenario{to_branch(branch), {}, error};
    if (failing) {
        scenario.failing = to_step(*failing);
        if (!info(*scenario.failing).returns_error) {
            throw py::value_error("step '" + *failing + "' cannot fail");
        }
    }
    if (error >= 0) {
        throw py::value_error("error " + std::to_string(error) + ": expected a negative errno");
    }
    return scenario;
}

std::vector<FaultId> fault_ids(const Ids& codes) {
    std::vector<FaultId> out;
    for (const std::string& code : codes) {
        out.push_back(take(fault_of_code(code)));
    }
    return out;
}

void bind_input(py::module_& module) {
    py::class_<Kernel>(module, "Kernel")
        .def(py::init(&make_kernel), py::arg("release"), py::arg("arch") = "x86_64",
             py::arg("left_out") = Ids{})
        .def_property_readonly("version", [](const Kernel& k) { return to_string(k.version); })
        .def_property_readonly(
            "arch", [](const Kernel& k) { return k.arch == Arch::i386 ? "i386" : "x86_64"; })
        .def_property_readonly("left_out", &left_out_of);

    py::class_<Scenario>(module, "Scenario")
        .def(py::init(&make_scenario), py::arg("branch") = "jump", py::arg("failing") = py::none(),
             py::arg("error") = kScriptedError)
        .def_property_readonly("branch", [](const Scenario& s) { return to_text(s.branch); })
        .def_property_readonly(
            "failing",
            [](const Scenario& s) -> std::optional<std::string> {
                return s.failing ? std::optional<std::string>(info(*s.failing).id) : std::nullopt;
            })
        .def_readonly("error", &Scenario::error)
        .def("__str__", [](const Scenario& s) { return to_string(s); })
        .def("__repr__", [](const Scenario& s) { return "<Scenario " + to_string(s) + ">"; })
        .def("__eq__", [](const Scenario& a, const Scenario& b) { return a == b; })
        .def("__hash__", [](const Scenario& s) { return py::hash(py::str(to_string(s))); });

    py::class_<TraceStep>(module, "TraceStep")
        .def(py::init([](const std::string& step, int result, std::optional<std::uint32_t> argument,
                         std::string symbol) {
                 return TraceStep{to_step(step), result, argument, std::move(symbol)};
             }),
             py::arg("step"), py::arg("result") = 0, py::arg("argument") = py::none(),
             py::arg("symbol") = "")
        .def_property_readonly("step",
                               [](const TraceStep& t) { return std::string(info(t.step).id); })
        .def_readonly("result", &TraceStep::result)
        .def_readonly("argument", &TraceStep::argument)
        .def_readonly("symbol", &TraceStep::symbol)
        .def("__repr__", [](const TraceStep& t) {
            return "<TraceStep " + std::string(info(t.step).id) +
                   (t.symbol.empty() ? "" : " " + t.symbol) +
                   (t.result == 0 ? "" : " = " + std::to_string(t.result)) + ">";
        });

    py::class_<Trace>(module, "Trace")
        .def(py::init([](std::vector<TraceStep> steps, std::optional<int> returned) {
                 return Trace{std::move(steps), returned};
             }),
             py::arg("steps"), py::arg("returned"))
        .def_readonly("steps", &Trace::steps)
        .def_readonly("returned", &Trace::returned)
        .def("__len__", [](const Trace& t) { return t.steps.size(); });
}

void bind_judgement(py::module_& module) {
    py::class_<Divergence>(module, "Divergence")
        .def_property_readonly("kind",
                               [](const Divergence& d) { return std::string(to_string(d.kind)); })
        .def_readonly("position", &Divergence::position)
        .def_readonly("expected", &Divergence::expected)
        .def_readonly("found", &Divergence::found)
        .def_readonly("text", &Divergence::text);

    py::class_<Violation>(module, "Violation")
        .def_readonly("position", &Violation::position)
        .def_readonly("text", &Violation::text);

    py::class_<KnownFault>(module, "KnownFault")
        .def_property_readonly("code", [](const KnownFault& f) { return std::string(f.code); })
        .def_property_readonly("name", [](const KnownFault& f) { return std::string(f.name); })
        .def_property_readonly("title", [](const KnownFault& f) { return std::string(f.title); })
        .def_property_readonly("shows", [](const KnownFault& f) { return std::string(f.shows); })
        .def_property_readonly("introduced",
                               [](const KnownFault& f) { return std::string(f.introduced); })
        .def_property_readonly("fixed", [](const KnownFault& f) { return std::string(f.fixed); })
        .def_property_readonly("commit", [](const KnownFault& f) { return std::string(f.commit); })
        .def("known_in", [](const KnownFault& f, const std::string& release) {
            return f.known_in(take(parse_version(release)));
        });

    py::class_<Judgement>(module, "Judgement")
        .def_property_readonly("outcome",
                               [](const Judgement& j) {
                                   return j.outcome == Outcome::match         ? "match"
                                          : j.outcome == Outcome::known_fault ? "known-fault"
                                                                              : "divergence";
                               })
        .def_property_readonly("faults",
                               [](const Judgement& j) {
                                   std::vector<KnownFault> out;
                                   for (const FaultId id : j.faults) {
                                       out.push_back(fault(id));
                                   }
                                   return out;
                               })
        .def_readonly("faults_known_here", &Judgement::faults_known_here)
        .def_readonly("divergence", &Judgement::divergence)
        .def_readonly("violations", &Judgement::violations)
        .def_readonly("undone", &Judgement::undone)
        .def_readonly("text", &Judgement::text);
}

void bind_functions(py::module_& module) {
    module.def("scenarios", &scenarios, py::arg("kernel"));
    module.def(
        "expected_trace",
        [](const Kernel& kernel, const Scenario& scenario, const Ids& faults) {
            return as_trace(faulty_trace(kernel, scenario, fault_ids(faults)), kernel.version);
        },
        py::arg("kernel"), py::arg("scenario") = Scenario{}, py::arg("faults") = Ids{});
    module.def(
        "expected_machine_trace",
        [](const Kernel& kernel, const std::string& branch) {
            return as_trace(expected_machine_trace(kernel, to_branch(branch)), kernel.version);
        },
        py::arg("kernel"), py::arg("branch") = "jump");
    module.def("judge", &judge, py::arg("kernel"), py::arg("scenario"), py::arg("trace"));
    module.def(
        "judge_machine",
        [](const Kernel& kernel, const std::string& branch, const Trace& trace) {
            return judge_machine(kernel, to_branch(branch), trace);
        },
        py::arg("kernel"), py::arg("branch"), py::arg("trace"));
    module.def("known_faults", [] {
        const auto faults = known_faults();
        return std::vector<KnownFault>(faults.begin(), faults.end());
    });
    module.def(
        "step_of_symbol",
        [](const std::string& symbol) -> std::optional<std::string> {
            const auto step = step_of_symbol(symbol);
            return step ? std::optional<std::string>(info(*step).id) : std::nullopt;
        },
        py::arg("symbol"));
    module.def(
        "describe",
        [](const std::string& step, const std::string& release) {
            return describe(to_step(step), take(parse_version(release)));
        },
        py::arg("step"), py::arg("release"));
}

}  // namespace
}  // namespace jumpback::jump::python

PYBIND11_MODULE(jumpback_jump, module) {
    module.doc() = "The order of steps of a kexec jump, the way out of failures, and known faults";
    jumpback::jump::python::bind_input(module);
    jumpback::jump::python::bind_judgement(module);
    jumpback::jump::python::bind_functions(module);
}
