// SPDX-License-Identifier: GPL-2.0-or-later
//
// Shared by the files of the Python module.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "model/interrupts/machine.h"
#include "model/interrupts/sequence.h"
#include "model/python/model_error.h"

namespace jumpback::interrupts::python {

using jumpback::python::ModelError;  // becomes InterruptModelError
using jumpback::python::take;

Path path_of(const std::string& name);
std::map<std::string, std::uint64_t> values(const Hardware& hardware);

void bind_machine(pybind11::module_& module);
void bind_oracle(pybind11::module_& module);

}  // namespace jumpback::interrupts::python
