// SPDX-License-Identifier: GPL-2.0-or-later
#include <pybind11/stl.h>

#include <tuple>

#include "bindings.h"
#include "vm/capture_pool.h"
#include "vm/ram_file.h"

namespace py = pybind11;

namespace jumpback::python {
namespace {

using RegionTuple = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;
using ExtentTuple = std::pair<std::uint64_t, std::uint64_t>;

std::vector<RamRegion> to_regions(const std::vector<RegionTuple>& tuples) {
    std::vector<RamRegion> regions;
    regions.reserve(tuples.size());
    for (const auto& [gpa, offset, length] : tuples) {
        regions.push_back({Gpa{gpa}, offset, Bytes{length}});
    }
    return regions;
}

std::vector<RegionTuple> to_tuples(const std::vector<RamRegion>& regions) {
    std::vector<RegionTuple> tuples;
    tuples.reserve(regions.size());
    for (const RamRegion& region : regions) {
        tuples.emplace_back(region.gpa.raw, region.offset, region.length.raw);
    }
    return tuples;
}

std::vector<ExtentTuple> to_tuples(const std::vector<Extent>& extents) {
    std::vector<ExtentTuple> tuples;
    tuples.reserve(extents.size());
    for (const Extent& extent : extents) {
        tuples.emplace_back(extent.offset, extent.length);
    }
    return tuples;
}

// A read-only buffer of bytes; Python keeps the owner alive as long as a view of it exists.
py::buffer_info read_only(std::span<const std::byte> bytes) {
    return {const_cast<std::byte*>(bytes.data()),
            1,
            py::format_descriptor<std::uint8_t>::format(),
            1,
            {static_cast<py::ssize_t>(bytes.size())},
            {py::ssize_t{1}},
            true};
}

CaptureStats capture_to(const RamFile& ram, const py::object& destination) {
    if (py::isinstance<py::int_>(destination)) {
        const int fd = destination.cast<int>();
        const py::gil_scoped_release release;
        return unwrap(ram.capture(fd, "file descriptor " + std::to_string(fd)));
    }
    const std::string path = path_of(destination);
    const py::gil_scoped_release release;
    return unwrap(ram.capture(path));
}

void bind_ram_file(py::module_& module) {
    py::class_<CaptureStats>(module, "CaptureStats")
        .def_property_readonly("bytes_copied", [](const CaptureStats& s) { return s.copied.raw; })
        .def_property_readonly(
            "seconds",
            [](const CaptureStats& s) { return std::chrono::duration<double>(s.elapsed).count(); })
        .def("__repr__", [](const CaptureStats& s) {
            return "<CaptureStats " + std::to_string(s.copied.raw) + " bytes in " +
                   std::to_string(std::chrono::duration<double>(s.elapsed).count()) + " s>";
        });

    py::class_<RamFile>(module, "RamFile", py::buffer_protocol())
        .def(py::init([](const py::object& path, const std::vector<RegionTuple>& regions) {
                 return unwrap(RamFile::open(path_of(path), to_regions(regions)));
             }),
             py::arg("path"), py::arg("regions"))
        .def_buffer([](RamFile& ram) { return read_only(ram.bytes()); })
        .def("view", [](const py::object& self) { return py::memoryview(self); })
        .def("__len__", &RamFile::size)
        .def_property_readonly("path", &RamFile::label)
        .def_property_readonly("regions",
                               [](const RamFile& ram) { return to_tuples(ram.regions()); })
        .def("extents", [](const RamFile& ram) { return to_tuples(unwrap(ram.extents())); })
        .def(
            "offset_of",
            [](const RamFile& ram, std::uint64_t gpa) { return ram.offset_of(Gpa{gpa}); },
            py::arg("gpa"))
        .def(
            "gpa_at",
            [](const RamFile& ram, std::uint64_t offset) -> std::optional<std::uint64_t> {
                const auto gpa = ram.gpa_at(offset);
                return gpa ? std::optional(gpa->raw) : std::nullopt;
            },
            py::arg("offset"))
        .def(
            "read",
            [](const RamFile& ram, std::uint64_t gpa, std::uint64_t length) {
                const auto bytes = unwrap(ram.at(Gpa{gpa}, Bytes{length}));
                return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
            },
            py::arg("gpa"), py::arg("length"))
        .def("capture", &capture_to, py::arg("destination"));

    module.def(
        "q35_regions",
        [](std::uint64_t total) { return to_tuples(unwrap(q35_regions(Bytes{total}))); },
        py::arg("total_bytes"));
}

// Python has no release(): a view of a released slot would show a later capture. The slot goes back
// when the Capture and all views of it are gone, which reference counting makes prompt.
void bind_pool(py::module_& module) {
    py::class_<Capture>(module, "Capture", py::buffer_protocol())
        .def_buffer([](Capture& capture) { return read_only(capture.bytes()); })
        .def("view", [](const py::object& self) { return py::memoryview(self); })
        .def("__len__", [](const Capture& capture) { return capture.bytes().size(); })
        .def_property_readonly("path", &Capture::path)
        .def_property_readonly("stats", &Capture::stats)
        .def("extents", [](const Capture& capture) { return to_tuples(capture.extents()); })
        .def(
            "detach",
            [](Capture& capture, const py::object& path) {
                const std::string name = path_of(path);
                const py::gil_scoped_release release;
                check(capture.detach(name));
            },
            py::arg("path"));

    py::class_<CapturePool>(module, "CapturePool")
        .def(py::init([](const py::object& folder, std::uint64_t size, unsigned slots) {
                 return unwrap(CapturePool::create(path_of(folder), Bytes{size}, slots));
             }),
             py::arg("folder"), py::arg("size"), py::arg("slots") = 2)
        .def(
            "prepare",
            [](CapturePool& pool, const RamFile& ram) {
                const py::gil_scoped_release release;
                check(pool.prepare(ram));
            },
            py::arg("ram"))
        .def(
            "capture",
            [](CapturePool& pool, const RamFile& ram) {
                const py::gil_scoped_release release;
                return unwrap(pool.capture(ram));
            },
            py::arg("ram"))
        .def_property_readonly("in_use", &CapturePool::in_use)
        .def_property_readonly("free", &CapturePool::free)
        .def_property_readonly("limit", &CapturePool::limit);
}

}  // namespace

void bind_ram(py::module_& module) {
    bind_ram_file(module);
    bind_pool(module);
}

}  // namespace jumpback::python
