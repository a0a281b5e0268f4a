// SPDX-License-Identifier: GPL-2.0-or-later
//
// jumpback_vm: kernels, guest RAM and the KVM probe for Python. Described in
// harness/typings/jumpback_vm.pyi.
#include "bindings.h"
#include "vm/kvm_probe.h"

namespace py = pybind11;

namespace jumpback::python {
namespace {

// Owned by the module, which is never unloaded.
py::handle& vm_error_type() {
    static py::handle type;
    return type;
}

void raise_vm_error(const Error& error) {
    py::object instance =
        py::reinterpret_borrow<py::object>(vm_error_type())(py::str(error.message()));
    instance.attr("where") = error.where;
    instance.attr("what") = error.what;
    PyErr_SetObject(vm_error_type().ptr(), instance.ptr());
}

}  // namespace

std::string path_of(const py::object& path) {
    py::object text = py::reinterpret_steal<py::object>(PyOS_FSPath(path.ptr()));
    if (!text) {
        throw py::error_already_set();
    }
    return py::isinstance<py::bytes>(text) ? std::string(py::bytes(text))
                                           : text.cast<std::string>();
}

void bind_kvm(py::module_& module) {
    py::class_<KvmProbe>(module, "KvmProbe")
        .def_property_readonly("outcome",
                               [](const KvmProbe& p) { return std::string(to_string(p.outcome)); })
        .def_property_readonly("usable", &KvmProbe::usable)
        .def_readonly("api_version", &KvmProbe::api_version)
        .def_readonly("instructions_per_second", &KvmProbe::instructions_per_second)
        .def_readonly("exit_microseconds", &KvmProbe::exit_microseconds)
        .def_property_readonly(
            "seconds",
            [](const KvmProbe& p) { return std::chrono::duration<double>(p.elapsed).count(); })
        .def_readonly("line", &KvmProbe::line)
        .def("__repr__", [](const KvmProbe& p) { return "<KvmProbe " + p.line + ">"; });
    module.def(
        "kvm_probe",
        [](const py::object& device) {
            const std::string path = path_of(device);
            const py::gil_scoped_release release;
            return kvm_probe(path.c_str());
        },
        py::arg("device") = "/dev/kvm");
}

}  // namespace jumpback::python

PYBIND11_MODULE(jumpback_vm, module) {
    using jumpback::python::VmException;
    module.doc() = "Kernel images, guest RAM files and the KVM probe";
    jumpback::python::vm_error_type() =
        PyErr_NewException("jumpback_vm.VmError", PyExc_RuntimeError, nullptr);
    module.attr("VmError") = jumpback::python::vm_error_type();
    py::register_exception_translator([](std::exception_ptr pending) {
        try {
            std::rethrow_exception(std::move(pending));
        } catch (const VmException& exception) {
            jumpback::python::raise_vm_error(exception.error);
        }
    });
    jumpback::python::bind_vmlinux(module);
    jumpback::python::bind_ram(module);
    jumpback::python::bind_kvm(module);
}
