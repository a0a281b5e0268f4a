// SPDX-License-Identifier: GPL-2.0-or-later
#include <pybind11/stl.h>

#include "bindings.h"
#include "vm/bzimage.h"
#include "vm/vmlinux.h"

namespace py = pybind11;

namespace jumpback::python {
namespace {

using Place = std::pair<std::uint64_t, std::uint64_t>;  // address, size in bytes

Place place(const Symbol& symbol) { return {symbol.address.raw, symbol.size.raw}; }

std::optional<std::pair<std::string, std::uint64_t>> name_and_offset(
    const std::optional<SymbolAt>& found) {
    if (!found) {
        return std::nullopt;
    }
    return std::pair{std::string(found->symbol.name), found->offset.raw};
}

py::bytes to_bytes(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

py::list sorted_symbols(const Vmlinux& kernel) {
    py::list list;
    for (const Symbol& symbol : kernel.table().sorted()) {
        list.append(py::make_tuple(symbol.address.raw, symbol.size.raw,
                                   py::str(symbol.name.data(), symbol.name.size())));
    }
    return list;
}

}  // namespace

void bind_vmlinux(py::module_& module) {
    py::class_<Vmlinux>(module, "Vmlinux")
        .def(py::init([](const py::object& path) {
                 const std::string name = path_of(path);
                 const py::gil_scoped_release release;
                 return unwrap(Vmlinux::open(name));
             }),
             py::arg("path"))
        .def_property_readonly("path", &Vmlinux::path)
        .def_property_readonly("arch",
                               [](const Vmlinux& k) { return std::string(to_string(k.arch())); })
        .def_property_readonly("entry", [](const Vmlinux& k) { return k.entry().raw; })
        .def_property_readonly("banner", [](const Vmlinux& k) { return unwrap(k.banner()); })
        .def_property_readonly("release", [](const Vmlinux& k) { return unwrap(k.release()); })
        .def_property_readonly(
            "segments",
            [](const Vmlinux& k) {
                py::list list;
                for (const Segment& s : k.segments()) {
                    list.append(
                        py::make_tuple(s.virt.raw, s.phys.raw, s.file_size.raw, s.memory_size.raw));
                }
                return list;
            })
        .def(
            "symbol",
            [](const Vmlinux& k, const std::string& name) { return place(unwrap(k.symbol(name))); },
            py::arg("name"))
        .def(
            "symbols",
            [](const Vmlinux& k, const std::string& name) {
                std::vector<Place> places;
                for (const Symbol& symbol : k.symbols(name)) {
                    places.push_back(place(symbol));
                }
                return places;
            },
            py::arg("name"))
        .def(
            "find",
            [](const Vmlinux& k, std::uint64_t address) {
                return name_and_offset(k.find(Gva{address}));
            },
            py::arg("address"))
        .def(
            "find_phys",
            [](const Vmlinux& k, std::uint64_t address) {
                return name_and_offset(k.find(Gpa{address}));
            },
            py::arg("address"))
        .def(
            "to_phys",
            [](const Vmlinux& k, std::uint64_t address) -> std::optional<std::uint64_t> {
                const auto phys = k.to_phys(Gva{address});
                return phys ? std::optional(phys->raw) : std::nullopt;
            },
            py::arg("address"))
        .def(
            "to_virt",
            [](const Vmlinux& k, std::uint64_t address) -> std::optional<std::uint64_t> {
                const auto virt = k.to_virt(Gpa{address});
                return virt ? std::optional(virt->raw) : std::nullopt;
            },
            py::arg("address"))
        .def(
            "read",
            [](const Vmlinux& k, std::uint64_t address, std::uint64_t length) {
                return to_bytes(unwrap(k.read(Gva{address}, Bytes{length})));
            },
            py::arg("address"), py::arg("length"))
        .def("config",
             [](const Vmlinux& k) -> py::object {
                 const auto config = unwrap(k.config());
                 return config ? py::object(to_bytes(*config)) : py::none();
             })
        .def("sorted_symbols", &sorted_symbols);

    py::class_<BzImage>(module, "BzImage")
        .def(py::init([](const py::object& path) { return unwrap(BzImage::open(path_of(path))); }),
             py::arg("path"))
        .def_readonly("protocol", &BzImage::protocol)
        .def_readonly("version", &BzImage::version)
        .def_property_readonly("release", &BzImage::release)
        .def_readonly("setup_sectors", &BzImage::setup_sectors)
        .def_readonly("loadflags", &BzImage::loadflags)
        .def_readonly("xloadflags", &BzImage::xloadflags)
        .def_readonly("relocatable", &BzImage::relocatable)
        .def_readonly("kernel_alignment", &BzImage::kernel_alignment)
        .def_readonly("cmdline_size", &BzImage::cmdline_size)
        .def_property_readonly("preferred_address",
                               [](const BzImage& b) { return b.preferred_address.raw; })
        .def_property_readonly("init_size", [](const BzImage& b) { return b.init_size.raw; })
        .def_readonly("payload_offset", &BzImage::payload_offset)
        .def_property_readonly("payload_length",
                               [](const BzImage& b) { return b.payload_length.raw; })
        .def_property_readonly("has_64bit_entry", &BzImage::has_64bit_entry)
        .def_property_readonly("loadable_above_4g", &BzImage::loadable_above_4g);
}

}  // namespace jumpback::python
