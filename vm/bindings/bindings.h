// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the files of the Python module share.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "model/result.h"

namespace jumpback::python {

// Carries an Error through C++ to the translator in module.cpp, which raises jumpback_vm.VmError.
struct VmException {
    Error error;
};

template <typename T>
T unwrap(Result<T> result) {
    if (!result) {
        throw VmException{result.error()};
    }
    return std::move(result).value();
}
inline void check(const Status& status) {
    if (!status) {
        throw VmException{status.error()};
    }
}

// str or os.PathLike to a file system path; TypeError otherwise.
std::string path_of(const pybind11::object& path);

void bind_vmlinux(pybind11::module_& module);
void bind_ram(pybind11::module_& module);
void bind_kvm(pybind11::module_& module);

}  // namespace jumpback::python
