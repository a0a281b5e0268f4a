// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_relocation: the frame condition and the registers of a jump, for the stops of a running
// kernel. Described in harness/typings/jumpback_relocation.pyi.
#include "model/relocate/python/bindings.h"

PYBIND11_MODULE(jumpback_relocation, module) {
    namespace python = jumpback::relocate::python;
    module.doc() = "What relocate_kernel does to memory and registers";
    jumpback::python::register_model_error(module, "RelocationError");
    python::bind_memory(module);
    python::bind_kernel(module);
}
