// SPDX-License-Identifier: GPL-2.0-or-later
//
// Python module jumpback_interrupts.
#include "model/interrupts/python/bindings.h"

PYBIND11_MODULE(jumpback_interrupts, module) {
    using namespace jumpback::interrupts;
    module.doc() = "Interrupt controllers on the way from one kernel to another";
    jumpback::python::register_model_error(module, "InterruptModelError");
    python::bind_machine(module);
    python::bind_oracle(module);
}
