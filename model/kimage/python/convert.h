// SPDX-License-Identifier: GPL-2.0-or-later
//
// Python's words for kernels, segments and buffers, and the model's errors as Python's.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "model/kimage/builder.h"
#include "model/kimage/load_rules.h"
#include "model/kimage/segment_checks.h"
#include "model/memory/guest_ram.h"
#include "model/python/model_error.h"

namespace jumpback::kimage::python {

using jumpback::python::ModelError;  // becomes KimageError
using jumpback::python::take;

// A borrowed, contiguous buffer; holds the export while it lives.
class InputBuffer {
  public:
    explicit InputBuffer(const pybind11::object& object) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) {
            throw pybind11::error_already_set();
        }
    }
    ~InputBuffer() { PyBuffer_Release(&view_); }
    InputBuffer(const InputBuffer&) = delete;
    InputBuffer& operator=(const InputBuffer&) = delete;
    InputBuffer(InputBuffer&&) = delete;
    InputBuffer& operator=(InputBuffer&&) = delete;

    [[nodiscard]] std::span<const std::byte> bytes() const {
        return {static_cast<const std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
    }

  private:
    Py_buffer view_{};
};

using Triples = std::vector<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>;

inline pybind11::str text(std::string_view view) { return {view.data(), view.size()}; }

template <typename T>
pybind11::object or_none(const std::optional<T>& value) {
    return value ? pybind11::cast(*value) : pybind11::object(pybind11::none());
}
inline pybind11::object or_none(const std::optional<Gpa>& value) {
    return value ? pybind11::cast(value->raw) : pybind11::object(pybind11::none());
}
pybind11::list numbers(std::span<const Gpa> pages);

// The rules of one kernel; `note` says if another version's stand in.
struct Rules {
    LoadRules rules;
    std::string note;
};
// Those of its release, but for the findings of setup["fixed"], names of pages in docs/findings,
// which its patches mend. A finding that changes no rule is none of this model's.
Rules rules_of(const std::string& release, const std::string& arch, const pybind11::dict& setup);
// Keys may be left out; one that is not known is an error.
KernelSetup setup_of(const pybind11::dict& setup);
// (bufsz, mem, memsz)
std::vector<Segment> segments_of(const Triples& triples);
// Those that a kernel would have come to build a list of: throws for others.
std::vector<Segment> buildable_segments(const LoadRules& rules, const KernelSetup& setup,
                                        const Triples& triples);
// (gpa, offset in the buffer, length); none: all of the buffer at 0.
memory::GuestRam ram_of(const InputBuffer& buffer, const Triples& regions);
// (first pfn, order)
std::vector<Allocation> allocations_of(const std::vector<std::pair<std::uint64_t, unsigned>>& list);

// Reads a dict whose keys are all known and of one type each; what is wrong names the key.
class Settings {
  public:
    Settings(const pybind11::dict& values, const char* name) : values_(values), name_(name) {}

    template <typename T>
    void take(const char* key, T& into) {
        if (values_.contains(key)) {
            ++taken_;
            const pybind11::object value = values_[key];
            try {
                if (std::is_same_v<T, bool> && !pybind11::isinstance<pybind11::bool_>(value)) {
                    throw pybind11::cast_error();
                }
                into = pybind11::cast<T>(value);
            } catch (const pybind11::cast_error&) {
                throw ModelError({std::string(name_) + "[\"" + key + "\"]",
                                  "is " + pybind11::cast<std::string>(pybind11::repr(value)) +
                                      ", expected " + wanted(into)});
            }
        }
    }
    // All that is there was asked for.
    void done() const;

  private:
    static const char* wanted(const bool&) { return "True or False"; }
    static const char* wanted(const std::string&) { return "text"; }
    static const char* wanted(const std::vector<std::string>&) { return "a list of names"; }
    template <typename T>
    static const char* wanted(const T&) {
        return "a number that fits";
    }

    const pybind11::dict& values_;
    const char* name_;
    std::size_t taken_ = 0;
};

void bind_list(pybind11::module_& module);
void bind_load(pybind11::module_& module);

}  // namespace jumpback::kimage::python
