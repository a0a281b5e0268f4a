// SPDX-License-Identifier: GPL-2.0-or-later
//
// One result type for everything that can fail on input we do not control.
//
// A function that reads guest data, a file or a device returns Result<T>: either the value, or an
// Error that names the place ("swap map page at offset 0x3000, entry 12") and what was expected.
// Exceptions are left to what cannot go on (out of memory). Errors must be looked at: the class is
// [[nodiscard]], and value() on an error aborts with the message.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

namespace jumpback {

struct Error {
    std::string where;  // the place: a field, an offset, a file
    std::string what;   // what was found there and what was expected

    [[nodiscard]] std::string message() const { return where.empty() ? what : where + ": " + what; }
};

template <typename T>
class [[nodiscard]] Result {
  public:
    Result(T value)
        : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    [[nodiscard]] const T& value() const& {
        require_ok();
        return std::get<0>(state_);
    }
    [[nodiscard]] T& value() & {
        require_ok();
        return std::get<0>(state_);
    }
    [[nodiscard]] T&& value() && {
        require_ok();
        return std::get<0>(std::move(state_));
    }
    [[nodiscard]] const Error& error() const { return std::get<1>(state_); }

    const T* operator->() const { return &value(); }
    const T& operator*() const& { return value(); }

  private:
    void require_ok() const {
        if (!ok()) {
            std::fprintf(stderr, "jumpback: value() of a failed Result: %s\n",
                         std::get<1>(state_).message().c_str());
            std::abort();
        }
    }
    std::variant<T, Error> state_;
};

// For functions that yield nothing but may fail.
using Status = Result<std::monostate>;
inline Status success() { return std::monostate{}; }

}  // namespace jumpback
