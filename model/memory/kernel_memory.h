// SPDX-License-Identifier: GPL-2.0-or-later
//
// Captured memory as the kernel sees it: by virtual address and by symbol name.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/address.h"
#include "model/memory/guest_ram.h"
#include "model/memory/page_tables.h"
#include "model/result.h"

namespace jumpback::memory {

enum class Arch { kX86_64, kI386 };

// Name -> virtual address, from vmlinux's symbol table (or System.map).
using Symbols = std::map<std::string, std::uint64_t, std::less<>>;

class KernelMemory {
  public:
    // `ram` and `symbols` are borrowed.
    KernelMemory(const GuestRam& ram, const Symbols& symbols, Arch arch, PageTables tables)
        : ram_(&ram), symbols_(&symbols), arch_(arch), tables_(tables) {}

    [[nodiscard]] const GuestRam& ram() const { return *ram_; }
    [[nodiscard]] const PageTables& tables() const { return tables_; }
    [[nodiscard]] Arch arch() const { return arch_; }
    [[nodiscard]] unsigned word_size() const { return arch_ == Arch::kX86_64 ? 8 : 4; }  // bytes

    // An unsigned long or a pointer.
    [[nodiscard]] Result<std::uint64_t> word(Gva gva) const;
    [[nodiscard]] Result<std::uint32_t> u32(Gva gva) const;
    [[nodiscard]] Status read(Gva gva, std::span<std::byte> out) const;

    // Physical frame behind a virtual address; fails if it is not mapped. What is in RAM is not
    // asked.
    [[nodiscard]] Result<Gpa> physical(Gva gva) const;

    // The error tells what the symbol would have been needed for.
    [[nodiscard]] Result<Gva> symbol(std::string_view name) const;
    [[nodiscard]] std::optional<Gva> find_symbol(std::string_view name) const;
    // The unsigned long or pointer that the variable `name` holds.
    [[nodiscard]] Result<std::uint64_t> word_at_symbol(std::string_view name) const;
    [[nodiscard]] Result<std::uint32_t> u32_at_symbol(std::string_view name) const;

    // A NUL-terminated string of at most `limit` bytes; nothing if unreadable or longer.
    [[nodiscard]] std::optional<std::string> text(Gva gva, std::size_t limit) const;

  private:
    const GuestRam* ram_;
    const Symbols* symbols_;
    Arch arch_;
    PageTables tables_;
    // Neighbouring reads hit the same page: remember the last walk. Not for use by two threads at
    // once.
    mutable std::uint64_t cached_page_ = ~std::uint64_t{0};
    mutable std::uint64_t cached_gpa_ = 0;
};

}  // namespace jumpback::memory
