// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_memory: what captured guest RAM says. The stub is harness/typings/jumpback_memory.pyi.
#include "model/memory/page_tables.h"
#include "model/memory/python/buffers.h"

PYBIND11_MODULE(jumpback_memory, module) {
    using namespace jumpback::memory;
    module.doc() =
        "Captured guest RAM: comparison, page tables, page structures, snapshot accounting";
    jumpback::python::register_model_error(module, "MemoryModelError");
    python::bind_compare(module);
    python::bind_kernel(module);
}
