// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_kimage: kexec_load's checks, page lists, staged loading. Described in
// harness/typings/jumpback_kimage.pyi.
#include "model/kimage/python/convert.h"

namespace py = pybind11;

namespace jumpback::kimage::python {
namespace {

// The exception class, made once; kept by the module.
PyObject* error_class = nullptr;

void set_error(const KimageError& error) {
    const py::object type = py::reinterpret_borrow<py::object>(error_class);
    py::object instance = type(error.what());
    instance.attr("where") = error.error().where;
    instance.attr("what") = error.error().what;
    PyErr_SetObject(error_class, instance.ptr());
}

}  // namespace
}  // namespace jumpback::kimage::python

PYBIND11_MODULE(jumpback_kimage, module) {
    namespace python = jumpback::kimage::python;
    module.doc() = "What kexec_load promises: checks, page lists, staged loading";
    py::exception<python::KimageError> error(module, "KimageError", PyExc_ValueError);
    python::error_class = error.inc_ref().ptr();
    py::register_exception_translator(
        [](std::exception_ptr pointer) {  // NOLINT: pybind11 wants it so
            try {
                if (pointer) {
                    std::rethrow_exception(pointer);
                }
            } catch (const python::KimageError& failure) {
                python::set_error(failure);
            }
        });
    python::bind_load(module);
    python::bind_list(module);
}
