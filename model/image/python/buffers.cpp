// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/python/buffers.h"

#include <utility>

namespace py = pybind11;

namespace jumpback::swsusp::python {
namespace {

// What a memoryview of ours is a view of.
struct ImageBytes {
    std::shared_ptr<const void> owner;
    const void* data;
    std::size_t count;
    std::size_t item_bytes;
    std::string format;
};

}  // namespace

InputBuffer::InputBuffer(py::handle object, bool writable) {
    if (PyObject_GetBuffer(object.ptr(), &buffer_, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) != 0) {
        throw py::error_already_set();
    }
}

InputBuffer::~InputBuffer() { PyBuffer_Release(&buffer_); }

py::object view_of(std::shared_ptr<const void> owner, const void* data, std::size_t count,
                   std::size_t item_bytes, const std::string& format) {
    const py::object holder =
        py::cast(ImageBytes{std::move(owner), data, count, item_bytes, format});
    return py::reinterpret_steal<py::object>(PyMemoryView_FromObject(holder.ptr()));
}

void raise(const Error& error) {
    const py::object type = py::module_::import("jumpback_image").attr("ImageError");
    const py::object instance = type(error.message());
    instance.attr("where") = error.where;
    instance.attr("what") = error.what;
    PyErr_SetObject(type.ptr(), instance.ptr());
    throw py::error_already_set();
}

ParseOptions options_of(std::uint64_t header_page, bool ignore_signature,
                        std::optional<std::uint64_t> image_start, bool check_crc,
                        bool check_reserved, std::optional<std::uint64_t> pfn_limit) {
    ParseOptions options;
    options.header_page = header_page;
    options.ignore_signature = ignore_signature;
    options.image_start = image_start;
    options.check_crc = check_crc;
    options.check_reserved = check_reserved;
    options.pfn_limit = pfn_limit;
    return options;
}

void bind_buffers(py::module_& module) {
    py::class_<ImageBytes>(module, "_ImageBytes", py::buffer_protocol(), py::module_local())
        .def_buffer([](ImageBytes& bytes) {
            return py::buffer_info(const_cast<void*>(bytes.data),  // read-only below
                                   static_cast<py::ssize_t>(bytes.item_bytes), bytes.format, 1,
                                   {static_cast<py::ssize_t>(bytes.count)},
                                   {static_cast<py::ssize_t>(bytes.item_bytes)}, true);
        });
}

}  // namespace jumpback::swsusp::python
