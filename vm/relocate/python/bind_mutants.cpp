// SPDX-License-Identifier: GPL-2.0-or-later
//
// The mutation run.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <filesystem>

#include "vm/relocate/mutation_run.h"
#include "vm/relocate/python/bindings.h"

namespace py = pybind11;

namespace jumpback::relocate_check::python {
namespace {

py::dict to_dict(const MutantResult& result) {
    py::dict out;
    out["mutant"] = result.mutant.index;
    out["kind"] = text(name_of(result.mutant.kind));
    out["place"] = text(result.place);
    out["was"] = text(result.mutant.was);
    out["becomes"] = text(result.mutant.is);
    out["fate"] = text(name_of(result.fate));
    out["caught"] = caught(result.fate);
    out["executed"] = result.fate != Fate::kNeverRun;
    out["explained"] = result.fate != Fate::kUnexplained;
    out["why"] = text(result.why);
    return out;
}

}  // namespace

void bind_mutants(py::module_& module) {
    py::class_<MutationPlan>(module, "MutationPlan")
        .def(py::init([](const std::filesystem::path& vmlinux, std::uint64_t seed) {
                 auto target =
                     std::make_shared<const Target>(unwrap(Target::open(vmlinux.string())));
                 const py::gil_scoped_release release;
                 return unwrap(plan_mutants(target, seed));
             }),
             py::arg("vmlinux"), py::arg("seed"))
        .def_property_readonly("cases", [](const MutationPlan& self) { return self.cases.size(); })
        .def_property_readonly("instructions",
                               [](const MutationPlan& self) { return self.code.size(); })
        .def_property_readonly("left_out", [](const MutationPlan& self) { return self.left_out; })
        .def_property_readonly("executed", &MutationPlan::instructions_executed)
        .def(
            "run",
            [](const MutationPlan& self, std::uint64_t first, std::uint64_t count) {
                std::vector<MutantResult> results;
                {
                    const py::gil_scoped_release release;
                    results = unwrap(run_mutants(self, first, count));
                }
                py::list out;
                for (const MutantResult& result : results) {
                    out.append(to_dict(result));
                }
                return out;
            },
            py::arg("first"), py::arg("count"));
}

}  // namespace jumpback::relocate_check::python
