// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the files of the Python module share. Results go to Python as plain dicts and lists: they
// travel between processes and into JSON as they are.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>
#include <utility>

#include "model/result.h"
#include "vm/relocate/finding.h"

namespace jumpback::relocate_check::python {

// Carries an Error to the translator in module.cpp, which raises jumpback_relocate.RelocateError.
struct CheckException {
    Error error;
};

template <typename T>
T unwrap(Result<T> result) {
    if (!result) {
        throw CheckException{result.error()};
    }
    return std::move(result).value();
}
inline void check(const Status& status) {
    if (!status) {
        throw CheckException{status.error()};
    }
}

inline pybind11::str text(std::string_view value) { return {value.data(), value.size()}; }
pybind11::dict to_dict(const Finding& finding);

void bind_check(pybind11::module_& module);
void bind_mutants(pybind11::module_& module);

}  // namespace jumpback::relocate_check::python
