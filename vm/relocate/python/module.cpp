// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_relocate: the real relocate_kernel against the model. Described in
// harness/typings/jumpback_relocate.pyi.
#include "vm/relocate/python/bindings.h"

namespace py = pybind11;

namespace {

// Owned by the module, which is never unloaded.
py::handle& error_type() {
    static py::handle type;
    return type;
}

}  // namespace

PYBIND11_MODULE(jumpback_relocate, module) {
    using namespace jumpback::relocate_check::python;
    module.doc() = "relocate_kernel of a vmlinux, run in Unicorn and held against the model";
    error_type() =
        PyErr_NewException("jumpback_relocate.RelocateError", PyExc_RuntimeError, nullptr);
    module.attr("RelocateError") = error_type();
    py::register_exception_translator([](std::exception_ptr pending) {
        try {
            std::rethrow_exception(std::move(pending));
        } catch (const CheckException& exception) {
            PyErr_SetString(error_type().ptr(), exception.error.message().c_str());
        }
    });
    bind_check(module);
    bind_mutants(module);
}
