// SPDX-License-Identifier: GPL-2.0-or-later
//
// Python module jumpback_interrupts.
#include "model/interrupts/python/bindings.h"

namespace py = pybind11;

namespace jumpback::interrupts::python {
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
}  // namespace jumpback::interrupts::python

PYBIND11_MODULE(jumpback_interrupts, module) {
    using namespace jumpback::interrupts;
    module.doc() = "Interrupt controllers on the way from one kernel to another";
    py::exception<python::ModelError> error(module, "InterruptModelError", PyExc_ValueError);
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
    python::bind_machine(module);
    python::bind_oracle(module);
}
