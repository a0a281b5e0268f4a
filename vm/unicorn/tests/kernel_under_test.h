// SPDX-License-Identifier: GPL-2.0-or-later
//
// Built kernels of the rig's cache, by their catalogue name ("6.1-x86_64", "6.1-stock-x86_64").
#pragma once

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "vm/unicorn/relocate_code.h"

namespace jumpback::unicorn::test {

// The folder that kernel/cache.py uses.
inline std::filesystem::path cache_folder() {
    if (const char* own = std::getenv("JUMPBACK_CACHE"); own != nullptr && *own != '\0') {
        return own;
    }
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0') {
        return std::filesystem::path(xdg) / "jumpback";
    }
    const char* home = std::getenv("HOME");
    return std::filesystem::path(home == nullptr ? "/" : home) / ".cache" / "jumpback";
}

// The vmlinux of that kernel; nothing if it is not built on this machine.
inline std::optional<std::string> vmlinux_of(const std::string& name) {
    std::error_code error;
    const std::filesystem::path vmlinux = cache_folder() / "names" / name / "vmlinux";
    return std::filesystem::exists(vmlinux, error) ? std::optional(vmlinux.string()) : std::nullopt;
}

inline std::optional<Result<RelocateCode>> read_code_of(const std::string& name) {
    const std::optional<std::string> path = vmlinux_of(name);
    if (!path) {
        return std::nullopt;
    }
    const auto vmlinux = Vmlinux::open(*path);
    if (!vmlinux) {
        return Result<RelocateCode>(vmlinux.error());
    }
    return RelocateCode::find(*vmlinux);
}

// Its relocate_kernel, read once a process; nothing if the kernel is not built.
inline const std::optional<Result<RelocateCode>>& code_of(const std::string& name) {
    static std::map<std::string, std::optional<Result<RelocateCode>>> found;
    const auto known = found.find(name);
    return known != found.end() ? known->second : found[name] = read_code_of(name);
}

}  // namespace jumpback::unicorn::test
