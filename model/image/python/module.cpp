// SPDX-License-Identifier: GPL-2.0-or-later
//
// Python module jumpback_image: hibernation images from buffers. Typed in
// harness/typings/jumpback_image.pyi.
#include "model/image/python/buffers.h"

namespace py = pybind11;

PYBIND11_MODULE(jumpback_image, module) {
    using namespace jumpback::swsusp::python;
    module.doc() =
        "Reads, checks, compares and alters Linux hibernation images (swsusp) in buffers";
    module.attr("ImageError") = py::reinterpret_steal<py::object>(
        PyErr_NewException("jumpback_image.ImageError", PyExc_Exception, nullptr));
    bind_buffers(module);
    bind_image(module);
    bind_tools(module);
}
