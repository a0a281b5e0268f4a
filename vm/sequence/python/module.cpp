// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_sequence: a real kernel's sequence of a kexec jump, from its vmlinux. Described in
// harness/typings/jumpback_sequence.pyi.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "model/jump/python/convert.h"
#include "vm/sequence/survey.h"

namespace py = pybind11;

namespace jumpback::sequence::python {
namespace {

using jump::python::to_branch;

// Carries an Error to the translator, which raises SequenceError.
struct SequenceException {
    Error error;
};

template <typename T>
T unwrap(Result<T> result) {
    if (!result) {
        throw SequenceException{result.error()};
    }
    return std::move(result).value();
}

Survey open(const py::object& path,
            const std::vector<std::pair<std::uint64_t, py::bytes>>& patches) {
    const auto name = py::module_::import("os").attr("fspath")(path).cast<std::string>();
    std::vector<Patch> bytes;
    for (const auto& [address, content] : patches) {
        const std::string_view view = content;
        Patch patch{Gva{address}, {}};
        for (const char byte : view) {
            patch.bytes.push_back(static_cast<std::byte>(byte));
        }
        bytes.push_back(std::move(patch));
    }
    const py::gil_scoped_release release;
    const Vmlinux kernel = unwrap(Vmlinux::open(name));
    return unwrap(survey(kernel, bytes));
}

TracedRun run_of(const Survey& all, const jump::Scenario& wanted) {
    for (const auto& [scenario, run] : all.runs) {
        if (scenario == wanted) {
            return run;
        }
    }
    throw py::key_error("this kernel has no scenario '" + to_string(wanted) + "' with error " +
                        std::to_string(wanted.error));
}

TracedRun machine_run_of(const Survey& all, const std::string& text) {
    const jump::Branch wanted = to_branch(text);
    for (const auto& [branch, run] : all.machine_runs) {
        if (branch == wanted) {
            return run;
        }
    }
    throw py::key_error(text);
}

void bind_run(py::module_& module) {
    py::class_<Call>(module, "Call")
        .def_readonly("symbol", &Call::symbol)
        .def_property_readonly("site", [](const Call& c) { return c.site.raw; })
        .def_readonly("argument", &Call::argument)
        .def_readonly("result", &Call::result)
        .def_property_readonly("step",
                               [](const Call& c) -> std::optional<std::string> {
                                   return c.step.empty() ? std::nullopt : std::optional(c.step);
                               })
        .def("__repr__", [](const Call& c) {
            return "<Call " + c.symbol + " = " + std::to_string(c.result) + ">";
        });
    py::class_<TracedRun>(module, "Run")
        .def_readonly("trace", &TracedRun::trace)
        .def_readonly("calls", &TracedRun::calls)
        .def_readonly("stopped", &TracedRun::stopped);
}

void bind_sequence(py::module_& module) {
    py::class_<Survey>(module, "Sequence")
        .def(py::init(&open), py::arg("path"),
             py::arg("patches") = std::vector<std::pair<std::uint64_t, py::bytes>>{})
        .def_readonly("kernel", &Survey::kernel)
        .def_readonly("release", &Survey::release)
        .def_property_readonly("preserve_bit",
                               [](const Survey& s) {
                                   return std::pair{s.preserve_bit.offset, s.preserve_bit.bit};
                               })
        .def_property_readonly("scenarios",
                               [](const Survey& s) {
                                   std::vector<jump::Scenario> out;
                                   for (const auto& [scenario, run] : s.runs) {
                                       out.push_back(scenario);
                                   }
                                   return out;
                               })
        .def("run", &run_of, py::arg("scenario") = jump::Scenario{})
        .def("run_machine", &machine_run_of, py::arg("branch") = "jump");

    module.def(
        "sequence",
        [](const py::object& path) {
            py::dict out;
            for (const auto& [scenario, run] : open(path, {}).runs) {
                out[py::cast(scenario)] = run.trace.steps;
            }
            return out;
        },
        py::arg("path"));
}

}  // namespace
}  // namespace jumpback::sequence::python

PYBIND11_MODULE(jumpback_sequence, module) {
    using jumpback::sequence::python::SequenceException;
    module.doc() = "The sequence of a kexec jump that a kernel's real code makes";
    py::module_::import("jumpback_jump");  // Scenario, Trace and Kernel are its classes
    static py::handle error_type =
        PyErr_NewException("jumpback_sequence.SequenceError", PyExc_RuntimeError, nullptr);
    module.attr("SequenceError") = error_type;
    py::register_exception_translator([](std::exception_ptr pending) {
        try {
            std::rethrow_exception(std::move(pending));
        } catch (const SequenceException& exception) {
            PyErr_SetString(error_type.ptr(), exception.error.message().c_str());
        }
    });
    jumpback::sequence::python::bind_run(module);
    jumpback::sequence::python::bind_sequence(module);
}
