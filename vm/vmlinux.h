// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a vmlinux says: symbols by name and by address, the image's segments, and bytes of its data
// (banner, embedded config). x86_64 and i386, any kernel version, debug information or not: only
// headers, symbol table and string table are read.
//
// Addresses are link addresses. They hold in a running guest when KASLR is off (nokaslr).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/result.h"
#include "vm/byte_source.h"
#include "vm/symbol_table.h"

namespace jumpback {

enum class Arch { x86_64, i386 };
std::string_view to_string(Arch arch);

// One PT_LOAD segment. Bytes from file_size up to memory_size are zero (.bss).
struct Segment {
    Gva virt;  // link address; 0 for the zero-based per-CPU segment of x86_64 up to 6.14
    Gpa phys;
    std::uint64_t file_offset = 0;
    Bytes file_size;
    Bytes memory_size;
};

class Vmlinux {
  public:
    // Errors name the file and what was expected of it.
    static Result<Vmlinux> open(const std::string& path);
    // For tests and fuzzing; the memory must outlive the object.
    static Result<Vmlinux> from_memory(std::span<const std::byte> elf, std::string label);

    [[nodiscard]] const std::string& path() const { return source_.label(); }
    [[nodiscard]] Arch arch() const { return arch_; }
    // e_entry of an x86 vmlinux is physical (phys_startup_32/64 in arch/x86/kernel/vmlinux.lds.S).
    [[nodiscard]] Gpa entry() const { return entry_; }
    [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
    [[nodiscard]] const SymbolTable& table() const { return table_; }

    // The one symbol of this name. Error if there is none, or if static symbols of this name stand
    // at several addresses (the error lists them; use symbols()).
    [[nodiscard]] Result<Symbol> symbol(std::string_view name) const;
    // All symbols of this name, by address; empty if there is none.
    [[nodiscard]] std::vector<Symbol> symbols(std::string_view name) const {
        return table_.named(name);
    }
    // The symbol that holds this address, or nothing if the address lies in a gap.
    [[nodiscard]] std::optional<SymbolAt> find(Gva address) const { return table_.at(address); }
    // The same for a physical address inside the kernel image.
    [[nodiscard]] std::optional<SymbolAt> find(Gpa address) const;

    // Link address <-> physical address, for the image as it is loaded without KASLR.
    [[nodiscard]] std::optional<Gpa> to_phys(Gva address) const;
    [[nodiscard]] std::optional<Gva> to_virt(Gpa address) const;

    // Initial contents of [address, address + length), as the boot loader puts them.
    [[nodiscard]] Result<std::vector<std::byte>> read(Gva address, Bytes length) const;

    // linux_banner without its newline: "Linux version 6.1.192 (user@host) (gcc ...) #1 SMP ...".
    [[nodiscard]] Result<std::string> banner() const;
    // The third word of the banner: "6.1.192".
    [[nodiscard]] Result<std::string> release() const;
    // The .config that CONFIG_IKCONFIG embeds, unpacked; nothing if the kernel has none.
    [[nodiscard]] Result<std::optional<std::vector<std::byte>>> config() const;

  private:
    explicit Vmlinux(ByteSource source) : source_(std::move(source)) {}
    static Result<Vmlinux> parse(ByteSource source);

    // Where a segment's memory is mapped in kernel space once the kernel runs.
    [[nodiscard]] Gva kernel_virt(const Segment& segment) const;

    ByteSource source_;
    Arch arch_ = Arch::x86_64;
    Gpa entry_;
    std::vector<Segment> segments_;
    std::uint64_t image_delta_ = 0;  // virt - phys of the first segment that is not zero-based
    SymbolTable table_;
};

}  // namespace jumpback
