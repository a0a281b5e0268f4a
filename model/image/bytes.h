// SPDX-License-Identifier: GPL-2.0-or-later
//
// Unaligned little-endian loads and stores on byte spans, and the text helpers for error messages.
// Bounds are the caller's business and asserted here by subspan arithmetic in debug builds only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "model/address.h"
#include "model/image/format.h"

namespace jumpback::swsusp {

using ByteView = std::span<const std::byte>;
using ByteSpan = std::span<std::byte>;

template <typename T>
[[nodiscard]] T load(ByteView bytes, std::size_t offset) {
    T value{};
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

template <typename T>
void store(ByteSpan bytes, std::size_t offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

// An unsigned long (or size_t) of the kernel that wrote the image.
[[nodiscard]] inline std::uint64_t load_word(ByteView bytes, std::size_t offset, Arch arch) {
    return arch == Arch::x86_64 ? load<std::uint64_t>(bytes, offset)
                                : load<std::uint32_t>(bytes, offset);
}
inline void store_word(ByteSpan bytes, std::size_t offset, std::uint64_t value, Arch arch) {
    if (arch == Arch::x86_64) {
        store(bytes, offset, value);
    } else {
        store(bytes, offset, static_cast<std::uint32_t>(value));
    }
}

[[nodiscard]] inline ByteView page_at(ByteView disk, std::uint64_t page) {
    return disk.subspan(static_cast<std::size_t>(page * kPageSize), kPageSize);
}
[[nodiscard]] inline ByteSpan page_at(ByteSpan disk, std::uint64_t page) {
    return disk.subspan(static_cast<std::size_t>(page * kPageSize), kPageSize);
}

[[nodiscard]] std::string hex(std::uint64_t value);
[[nodiscard]] std::string disk_offset(std::uint64_t page);  // "disk offset 0x2a000"

namespace detail {
inline void append(std::string& out, std::string_view text) { out += text; }
template <typename Number>
requires std::is_integral_v<Number>
void append(std::string& out, Number number) { out += std::to_string(number); }
}  // namespace detail

// One string from texts and decimal numbers.
template <typename... Parts>
[[nodiscard]] std::string cat(const Parts&... parts) {
    std::string out;
    (detail::append(out, parts), ...);
    return out;
}

}  // namespace jumpback::swsusp
