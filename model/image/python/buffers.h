// SPDX-License-Identifier: GPL-2.0-or-later
//
// Python buffers in and out without copying: anything contiguous in (bytes, bytearray, mmap,
// memoryview), read-only memoryviews out that keep the image alive.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <string>

#include "model/image/bytes.h"
#include "model/image/swsusp_image.h"
#include "model/result.h"

namespace jumpback::swsusp::python {

// Holds a Python object's buffer for as long as it lives; an mmap cannot be closed meanwhile.
class InputBuffer {
  public:
    explicit InputBuffer(pybind11::handle object, bool writable = false);
    ~InputBuffer();
    InputBuffer(const InputBuffer&) = delete;
    InputBuffer& operator=(const InputBuffer&) = delete;
    InputBuffer(InputBuffer&&) = delete;
    InputBuffer& operator=(InputBuffer&&) = delete;

    [[nodiscard]] ByteView view() const { return {data(), size()}; }
    [[nodiscard]] ByteSpan span() { return {data(), size()}; }

  private:
    [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(buffer_.buf); }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(buffer_.len); }
    Py_buffer buffer_{};
};

// A read-only memoryview of `count` items at `data`, which `owner` keeps alive. `format` is a
// struct code.
[[nodiscard]] pybind11::object view_of(std::shared_ptr<const void> owner, const void* data,
                                       std::size_t count, std::size_t item_bytes,
                                       const std::string& format);

// Raises ImageError(where, what).
[[noreturn]] void raise(const Error& error);

template <typename T>
T take(Result<T> result) {
    if (!result.ok()) {
        raise(result.error());
    }
    return std::move(result).value();
}

void bind_buffers(pybind11::module_& module);
void bind_image(pybind11::module_& module);
void bind_tools(pybind11::module_& module);

// Keyword arguments of everything that reads an image.
[[nodiscard]] ParseOptions options_of(std::uint64_t header_page, bool ignore_signature,
                                      std::optional<std::uint64_t> image_start, bool check_crc,
                                      bool check_reserved, std::optional<std::uint64_t> pfn_limit);

}  // namespace jumpback::swsusp::python
