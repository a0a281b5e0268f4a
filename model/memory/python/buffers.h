// SPDX-License-Identifier: GPL-2.0-or-later
//
// Python's buffers as spans, without a copy, and results as Python objects.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "model/memory/compare.h"
#include "model/memory/guest_ram.h"
#include "model/python/model_error.h"

namespace jumpback::memory::python {

using jumpback::python::ModelError;  // becomes MemoryModelError
using jumpback::python::take;

// A borrowed, contiguous, read-only buffer of any item type; holds the export while it lives.
class InputBuffer {
  public:
    explicit InputBuffer(const pybind11::object& object);
    ~InputBuffer() { PyBuffer_Release(&view_); }
    InputBuffer(const InputBuffer&) = delete;
    InputBuffer& operator=(const InputBuffer&) = delete;
    InputBuffer(InputBuffer&&) = delete;
    InputBuffer& operator=(InputBuffer&&) = delete;

    [[nodiscard]] std::span<const std::byte> bytes() const {
        return {static_cast<const std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
    }
    // As unsigned 64-bit numbers: array("Q"), or a memoryview cast to "Q". TypeError for another
    // item size.
    [[nodiscard]] std::span<const std::uint64_t> numbers() const;
    [[nodiscard]] std::span<const std::uint8_t> flags() const;

  private:
    Py_buffer view_{};
};

// GuestRam for Python: holds the buffer's export as long as it or anything made from it lives.
struct PyRam {
    PyRam(const pybind11::object& object,
          const std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>& regions);
    InputBuffer buffer;
    GuestRam ram;
};

// array.array("Q").
pybind11::object number_array(std::span<const std::uint64_t> numbers);
pybind11::bytes to_bytes(std::span<const std::byte> bytes);

// (gpa, length, rule) or (gpa, length, rule, mask).
std::vector<ExceptionRange> exceptions_of(const pybind11::iterable& ranges);

void bind_compare(pybind11::module_& module);
void bind_kernel(pybind11::module_& module);

}  // namespace jumpback::memory::python
