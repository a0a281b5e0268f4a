// SPDX-License-Identifier: GPL-2.0-or-later
//
// VMCOREINFO: the text in which a kernel tells crash tools the sizes, offsets and numbers that they
// need (kernel/crash_core.c up to 6.8, kernel/vmcore_info.c since). It makes debug information
// unnecessary. Built with CONFIG_KEXEC or CONFIG_CRASH_DUMP (CONFIG_VMCORE_INFO).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "model/memory/kernel_memory.h"
#include "model/result.h"

namespace jumpback::memory {

class Vmcoreinfo {
  public:
    // Lines KEY=VALUE. Fails on a line without '=' or a NUL byte: that is not VMCOREINFO.
    static Result<Vmcoreinfo> parse(std::string_view text);

    // Through the variables vmcoreinfo_data (pointer) and vmcoreinfo_size (bytes).
    static Result<Vmcoreinfo> find(const KernelMemory& memory);

    [[nodiscard]] std::string_view release() const;  // OSRELEASE, "" if absent
    // Major and minor number of the release, as 6.1 -> 6001. 0 if the release is none.
    [[nodiscard]] unsigned version() const;

    // SIZE(x) and OFFSET(x) in bytes, LENGTH(x) in elements. Absent: an error that names the key.
    [[nodiscard]] Result<std::uint64_t> size(std::string_view name) const;
    [[nodiscard]] Result<std::uint64_t> offset(std::string_view name) const;
    [[nodiscard]] Result<std::uint64_t> length(std::string_view name) const;
    // NUMBER(x), signed as the kernel prints it (%ld), or nothing.
    [[nodiscard]] std::optional<std::int64_t> number(std::string_view name) const;
    // SYMBOL(x): for arrays behind a pointer the pointer's value (VMCOREINFO_SYMBOL_ARRAY).
    [[nodiscard]] std::optional<Gva> symbol(std::string_view name) const;

    [[nodiscard]] const std::map<std::string, std::string, std::less<>>& values() const {
        return values_;
    }

  private:
    [[nodiscard]] const std::string* value(std::string_view kind, std::string_view name) const;
    [[nodiscard]] Result<std::uint64_t> required(std::string_view kind,
                                                 std::string_view name) const;

    std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace jumpback::memory
