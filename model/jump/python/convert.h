// SPDX-License-Identifier: GPL-2.0-or-later
//
// Errors of the model as Python's, and steps by their ids. Shared with vm/sequence/python.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <utility>

#include "model/jump/trace.h"
#include "model/result.h"

namespace jumpback::jump::python {

template <typename T>
T take(Result<T> result) {
    if (!result) {
        throw pybind11::value_error(result.error().message());
    }
    return std::move(result).value();
}

inline Step to_step(const std::string& id) {
    const auto step = step_of_id(id);
    if (!step) {
        throw pybind11::value_error("'" + id + "' is no step of a kexec jump");
    }
    return *step;
}

inline Branch to_branch(const std::string& text) {
    if (text == "jump" || text == "plain") {
        return text == "jump" ? Branch::jump : Branch::plain;
    }
    throw pybind11::value_error("branch '" + text + "': expected jump or plain");
}

inline std::string to_text(Branch branch) { return branch == Branch::jump ? "jump" : "plain"; }

}  // namespace jumpback::jump::python
