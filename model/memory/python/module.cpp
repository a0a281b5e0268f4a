// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_memory: what captured guest RAM says. The stub is harness/typings/jumpback_memory.pyi.
#include "model/memory/page_tables.h"
#include "model/memory/python/buffers.h"

namespace py = pybind11;

namespace jumpback::memory::python {
namespace {

// The exception class, made once; kept by the module.
PyObject* error_class = nullptr;

void set_error(const ModelError& error) {
    const py::object type = py::reinterpret_borrow<py::object>(error_class);
    py::object instance = type(error.what());
    instance.attr("where") = error.error().where;
    instance.attr("what") = error.error().what;
    PyErr_SetObject(error_class, instance.ptr());
}

}  // namespace
}  // namespace jumpback::memory::python

PYBIND11_MODULE(jumpback_memory, module) {
    using namespace jumpback::memory;
    module.doc() =
        "Captured guest RAM: comparison, page tables, page structures, snapshot accounting";
    py::exception<python::ModelError> error(module, "MemoryModelError", PyExc_ValueError);
    python::error_class = error.inc_ref().ptr();
    py::register_exception_translator(
        [](std::exception_ptr pointer) {  // NOLINT: pybind11 wants it so
            try {
                if (pointer) {
                    std::rethrow_exception(pointer);
                }
            } catch (const python::ModelError& failure) {
                python::set_error(failure);
            }
        });
    python::bind_compare(module);
    python::bind_kernel(module);
}
