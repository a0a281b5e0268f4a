// SPDX-License-Identifier: GPL-2.0-or-later
//
// The model's errors as an exception of a Python module, with .where and .what. For modules built
// with hidden symbols, as pybind11 builds them: each has its own exception class.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <stdexcept>
#include <utility>

#include "model/result.h"

namespace jumpback::python {

// Becomes the exception that register_model_error() made.
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

// The module's exception class, made once; kept by the module.
inline PyObject* model_error_class = nullptr;

// Adds the exception `name`, a ValueError, to `module`.
inline void register_model_error(pybind11::module_& module, const char* name) {
    pybind11::exception<ModelError> error(module, name, PyExc_ValueError);
    model_error_class = error.inc_ref().ptr();
    // Local: the other modules throw a ModelError of the same name, which is not this one's.
    pybind11::register_local_exception_translator(
        [](std::exception_ptr pointer) {  // NOLINT: pybind11 wants it so
            try {
                if (pointer) {
                    std::rethrow_exception(pointer);
                }
            } catch (const ModelError& failure) {
                const auto type = pybind11::reinterpret_borrow<pybind11::object>(model_error_class);
                pybind11::object instance = type(failure.what());
                instance.attr("where") = failure.error().where;
                instance.attr("what") = failure.error().what;
                PyErr_SetObject(model_error_class, instance.ptr());
            }
        });
}

}  // namespace jumpback::python
