// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the parts of the Python module jumpback_relocation share.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "model/python/model_error.h"
#include "model/relocate/swapped.h"

namespace jumpback::relocate::python {

using jumpback::python::ModelError;  // becomes RelocationError
using jumpback::python::take;

using Triples = std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>;
using Pairs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

inline pybind11::str text(std::string_view view) { return {view.data(), view.size()}; }

// RAM at one moment in a borrowed buffer, whose export it holds.
class PyRam {
  public:
    // `regions`: (gpa, offset, length); `extents`: (offset, length) of what is resident, or none.
    PyRam(const pybind11::object& buffer, const Triples& regions,
          const std::optional<Pairs>& extents);
    ~PyRam() { PyBuffer_Release(&view_); }
    PyRam(const PyRam&) = delete;
    PyRam& operator=(const PyRam&) = delete;
    PyRam(PyRam&&) = delete;
    PyRam& operator=(PyRam&&) = delete;

    [[nodiscard]] const memory::GuestRam& ram() const { return *ram_; }
    [[nodiscard]] RamState state() const { return {ram_.get(), extents_, sparse_}; }

  private:
    Py_buffer view_{};
    std::unique_ptr<memory::GuestRam> ram_;
    std::vector<Extent> extents_;
    bool sparse_ = false;
};

void bind_kernel(pybind11::module_& module);
void bind_memory(pybind11::module_& module);

}  // namespace jumpback::relocate::python
