// SPDX-License-Identifier: GPL-2.0-or-later
//
// GuestRam and the comparisons.
#include <pybind11/stl.h>

#include "model/memory/python/buffers.h"
#include "model/memory/snapshot_accounting.h"
#include "model/memory/text.h"

namespace py = pybind11;

namespace jumpback::memory::python {
namespace {

void bind_ram(py::module_& module) {
    py::class_<PyRam, std::shared_ptr<PyRam>>(module, "GuestRam")
        .def(
            py::init<const py::object&,
                     const std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>&>(),
            py::arg("buffer"), py::arg("regions") = py::list())
        .def_property_readonly("frames", [](const PyRam& self) { return self.ram.frames(); })
        .def_property_readonly("end_pfn", [](const PyRam& self) { return self.ram.end_pfn().raw; })
        .def(
            "read",
            [](const PyRam& self, std::uint64_t gpa, std::size_t length) {
                if (length > self.buffer.bytes().size()) {
                    throw ModelError({"GPA " + hex(gpa),
                                      "read of " + hex(length) + " bytes is longer than RAM"});
                }
                std::vector<std::byte> out(length);
                take(self.ram.read(Gpa{gpa}, out));
                return to_bytes(out);
            },
            py::arg("gpa"), py::arg("length"))
        .def(
            "page",
            [](const PyRam& self, std::uint64_t pfn) {
                return to_bytes(take(self.ram.page(Pfn{pfn})));
            },
            py::arg("pfn"))
        .def(
            "__contains__",
            [](const PyRam& self, std::uint64_t pfn) { return self.ram.has_frame(Pfn{pfn}); },
            py::arg("pfn"));
}

void bind_results(py::module_& module) {
    py::class_<PageDifference>(module, "PageDifference")
        .def_property_readonly("pfn", [](const PageDifference& self) { return self.pfn.raw; })
        .def_property_readonly(
            "gpa", [](const PageDifference& self) { return gpa_of(self.pfn).raw + self.offset; })
        .def_readonly("offset", &PageDifference::offset)
        .def_readonly("differing", &PageDifference::differing)
        .def_property_readonly("expected",
                               [](const PageDifference& self) { return to_bytes(self.expected); })
        .def_property_readonly("found",
                               [](const PageDifference& self) { return to_bytes(self.found); })
        .def("__repr__", [](const PageDifference& self) {
            return "PageDifference(pfn=" + hex(self.pfn.raw) + ", offset=" + hex(self.offset) +
                   ", differing=" + std::to_string(self.differing) + ")";
        });
    py::class_<Comparison>(module, "Comparison")
        .def_readonly("compared", &Comparison::compared)
        .def_readonly("equal", &Comparison::equal)
        .def_readonly("excused", &Comparison::excused)
        .def_readonly("different", &Comparison::different)
        .def_readonly("differences", &Comparison::differences)
        .def_readonly("rule_pages", &Comparison::rule_pages)
        .def("__repr__", [](const Comparison& self) {
            return "Comparison(compared=" + std::to_string(self.compared) +
                   ", equal=" + std::to_string(self.equal) +
                   ", excused=" + std::to_string(self.excused) +
                   ", different=" + std::to_string(self.different) + ")";
        });
    py::class_<Coverage>(module, "Coverage")
        .def_property_readonly("missing",
                               [](const Coverage& self) { return number_array(self.missing); })
        .def_property_readonly("surplus",
                               [](const Coverage& self) { return number_array(self.surplus); })
        .def_property_readonly("duplicates",
                               [](const Coverage& self) { return number_array(self.duplicates); });
}

}  // namespace

void bind_compare(py::module_& module) {
    bind_ram(module);
    bind_results(module);
    module.def(
        "compare_ram",
        [](const PyRam& expected, const PyRam& found, const py::iterable& exceptions,
           std::size_t limit) {
            const std::vector<ExceptionRange> ranges = exceptions_of(exceptions);
            auto result = [&] {
                const py::gil_scoped_release release;
                return compare_ram(expected.ram, found.ram, {ranges, limit});
            }();
            return take(std::move(result));
        },
        py::arg("expected"), py::arg("found"), py::kw_only(), py::arg("exceptions") = py::tuple(),
        py::arg("limit") = 64);
    module.def(
        "compare_image",
        [](const py::object& pfns, const py::object& data, const PyRam& ram,
           const py::object& zero_flags, const py::iterable& exceptions, std::size_t limit) {
            const InputBuffer pfn_buffer(pfns);
            const InputBuffer data_buffer(data);
            const InputBuffer zero_buffer(zero_flags);
            const ImagePages image{pfn_buffer.numbers(), data_buffer.bytes(), zero_buffer.flags()};
            const std::vector<ExceptionRange> ranges = exceptions_of(exceptions);
            auto result = [&] {
                const py::gil_scoped_release release;
                return compare_image(image, ram.ram, {ranges, limit});
            }();
            return take(std::move(result));
        },
        py::arg("pfns"), py::arg("data"), py::arg("ram"), py::kw_only(),
        py::arg("zero_flags") = py::bytes(), py::arg("exceptions") = py::tuple(),
        py::arg("limit") = 64);
    module.def(
        "check_coverage",
        [](const py::object& expected, const py::object& image) {
            const InputBuffer expected_buffer(expected);
            const InputBuffer image_buffer(image);
            return check_coverage(expected_buffer.numbers(), image_buffer.numbers());
        },
        py::arg("expected"), py::arg("image"));
}

}  // namespace jumpback::memory::python
