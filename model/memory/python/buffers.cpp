// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/python/buffers.h"

#include <pybind11/stl.h>

#include <string>

namespace py = pybind11;

namespace jumpback::memory::python {

InputBuffer::InputBuffer(const py::object& object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_CONTIG_RO | PyBUF_FORMAT) != 0) {
        throw py::error_already_set();
    }
}

std::span<const std::uint64_t> InputBuffer::numbers() const {
    if (view_.len == 0) {
        return {};
    }
    if (view_.itemsize != 8 || reinterpret_cast<std::uintptr_t>(view_.buf) % 8 != 0) {
        throw py::type_error(
            "page frame numbers must be an aligned buffer of 64-bit numbers: "
            "array.array('Q'), or memoryview(...).cast('Q')");
    }
    return {static_cast<const std::uint64_t*>(view_.buf), static_cast<std::size_t>(view_.len) / 8};
}

std::span<const std::uint8_t> InputBuffer::flags() const {
    return {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
}

namespace {

GuestRam make_ram(
    std::span<const std::byte> bytes,
    const std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>& list) {
    std::vector<RamRegion> regions;
    regions.reserve(list.size());
    for (const auto& [gpa, offset, length] : list) {
        regions.push_back({Gpa{gpa}, Bytes{offset}, Bytes{length}});
    }
    return take(GuestRam::create(bytes, std::move(regions)));
}

}  // namespace

PyRam::PyRam(const py::object& object,
             const std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>& regions)
    : buffer(object), ram(make_ram(buffer.bytes(), regions)) {}

py::object number_array(std::span<const std::uint64_t> numbers) {
    const py::object type = py::module_::import("array").attr("array");
    return type("Q", to_bytes(std::as_bytes(numbers)));
}

py::bytes to_bytes(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<ExceptionRange> exceptions_of(const py::iterable& ranges) {
    std::vector<ExceptionRange> out;
    for (const py::handle item : ranges) {
        const auto fields = py::cast<py::tuple>(item);
        if (fields.size() != 3 && fields.size() != 4) {
            throw py::type_error(
                "an exception range is (gpa, length, rule) or "
                "(gpa, length, rule, mask)");
        }
        ExceptionRange range;
        range.gpa = Gpa{fields[0].cast<std::uint64_t>()};
        range.length = Bytes{fields[1].cast<std::uint64_t>()};
        range.rule = fields[2].cast<std::uint32_t>();
        if (fields.size() == 4) {
            range.mask = fields[3].cast<std::uint8_t>();
        }
        out.push_back(range);
    }
    return out;
}

}  // namespace jumpback::memory::python
