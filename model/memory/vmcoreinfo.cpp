// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/vmcoreinfo.h"

#include <charconv>
#include <vector>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

// The kernel's buffer is one page (VMCOREINFO_BYTES), four in newer versions.
constexpr std::uint64_t kMaxBytes = 65'536;

// Whole text as an unsigned number; "0x" means base 16.
std::optional<std::uint64_t> to_number(std::string_view text, int base) {
    if (text.starts_with("0x")) {
        text.remove_prefix(2);
        base = 16;
    }
    std::uint64_t value = 0;
    const auto [end, failure] =
        std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (failure != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

Result<Vmcoreinfo> Vmcoreinfo::parse(std::string_view text) {
    Vmcoreinfo info;
    unsigned line_number = 0;
    while (!text.empty()) {
        ++line_number;
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (line.empty()) {
            continue;
        }
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos || line.find('\0') != std::string_view::npos) {
            return Error{"vmcoreinfo line " + std::to_string(line_number),
                         "is no KEY=VALUE: this is not vmcoreinfo, or the capture and vmlinux "
                         "belong to different kernels"};
        }
        info.values_.insert_or_assign(std::string(line.substr(0, equals)),
                                      std::string(line.substr(equals + 1)));
    }
    return info;
}

Result<Vmcoreinfo> Vmcoreinfo::find(const KernelMemory& memory) {
    const Result<std::uint64_t> data = memory.word_at_symbol("vmcoreinfo_data");
    if (!data) {
        return Error{
            data.error().where,
            data.error().what + " (a kernel with CONFIG_KEXEC or CONFIG_CRASH_DUMP has it)"};
    }
    const Result<std::uint64_t> size = memory.word_at_symbol("vmcoreinfo_size");
    if (!size) {
        return size.error();
    }
    if (*size == 0 || *size > kMaxBytes) {
        return Error{"variable vmcoreinfo_size",
                     "is " + std::to_string(*size) + ", expected 1 to " +
                         std::to_string(kMaxBytes) + ": before initcalls ran there is none"};
    }
    std::string text(*size, '\0');
    const Status status = memory.read(Gva{*data}, std::as_writable_bytes(std::span(text)));
    if (!status) {
        return Error{"vmcoreinfo_data", status.error().message()};
    }
    return parse(text);
}

const std::string* Vmcoreinfo::value(std::string_view kind, std::string_view name) const {
    std::string key(kind);
    key.append("(").append(name).append(")");
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
}

Result<std::uint64_t> Vmcoreinfo::required(std::string_view kind, std::string_view name) const {
    const std::string key = std::string(kind) + "(" + std::string(name) + ")";
    const std::string* text = value(kind, name);
    if (text == nullptr) {
        return Error{"vmcoreinfo", key + " is missing in the kernel's list"};
    }
    const std::optional<std::uint64_t> number = to_number(*text, 10);
    if (!number) {
        return Error{"vmcoreinfo", key + "=" + *text + " is not a number"};
    }
    return *number;
}

Result<std::uint64_t> Vmcoreinfo::size(std::string_view name) const {
    return required("SIZE", name);
}
Result<std::uint64_t> Vmcoreinfo::offset(std::string_view name) const {
    return required("OFFSET", name);
}
Result<std::uint64_t> Vmcoreinfo::length(std::string_view name) const {
    return required("LENGTH", name);
}

std::optional<std::int64_t> Vmcoreinfo::number(std::string_view name) const {
    const std::string* text = value("NUMBER", name);
    if (text == nullptr) {
        return std::nullopt;
    }
    const bool negative = text->starts_with('-');
    const std::optional<std::uint64_t> magnitude =
        to_number(std::string_view(*text).substr(negative ? 1 : 0), 10);
    if (!magnitude) {
        return std::nullopt;
    }
    return static_cast<std::int64_t>(negative ? 0 - *magnitude : *magnitude);
}

std::optional<Gva> Vmcoreinfo::symbol(std::string_view name) const {
    const std::string* text = value("SYMBOL", name);
    if (text == nullptr) {
        return std::nullopt;
    }
    const std::optional<std::uint64_t> address = to_number(*text, 16);
    if (!address) {
        return std::nullopt;
    }
    return Gva{*address};
}

std::string_view Vmcoreinfo::release() const {
    const auto found = values_.find("OSRELEASE");
    return found == values_.end() ? std::string_view{} : std::string_view(found->second);
}

unsigned Vmcoreinfo::version() const {
    const std::string_view text = release();
    unsigned major = 0;
    unsigned minor = 0;
    const char* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, major);
    if (first.ec != std::errc{} || first.ptr == end || *first.ptr != '.') {
        return 0;
    }
    const auto second = std::from_chars(first.ptr + 1, end, minor);
    if (second.ec != std::errc{} || major > 1000 || minor >= 1000) {
        return 0;
    }
    return major * 1000 + minor;
}

}  // namespace jumpback::memory
