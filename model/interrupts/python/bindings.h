// SPDX-License-Identifier: GPL-2.0-or-later
//
// Shared by the files of the Python module.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "model/interrupts/machine.h"
#include "model/interrupts/sequence.h"
#include "model/result.h"

namespace jumpback::interrupts::python {

// Becomes the Python exception InterruptModelError with .where and .what.
class ModelError : public std::runtime_error {
  public:
    explicit ModelError(Error error)
        : std::runtime_error(error.message()), error_(std::move(error)) {}
    [[nodiscard]] const Error& error() const { return error_; }

  private:
    Error error_;
};

template <typename T>
T take(Result<T> result) {
    if (!result) {
        throw ModelError(result.error());
    }
    return std::move(result).value();
}

Path path_of(const std::string& name);
std::map<std::string, std::uint64_t> values(const Hardware& hardware);

void bind_machine(pybind11::module_& module);
void bind_oracle(pybind11::module_& module);

}  // namespace jumpback::interrupts::python
