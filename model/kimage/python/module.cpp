// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_kimage: kexec_load's checks, page lists, staged loading. Described in
// harness/typings/jumpback_kimage.pyi.
#include "model/kimage/python/convert.h"

PYBIND11_MODULE(jumpback_kimage, module) {
    namespace python = jumpback::kimage::python;
    module.doc() = "What kexec_load promises: checks, page lists, staged loading";
    jumpback::python::register_model_error(module, "KimageError");
    python::bind_load(module);
    python::bind_list(module);
}
