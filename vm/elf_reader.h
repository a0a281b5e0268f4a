// SPDX-License-Identifier: GPL-2.0-or-later
//
// The few things we need of an x86 ELF file, read through libelf (headers) and bounds-checked reads
// (contents). Nothing here knows what a kernel is.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/result.h"
#include "vm/byte_source.h"

struct Elf;

namespace jumpback {

struct ElfSection {
    std::string name;
    std::uint32_t type = 0;   // SHT_*
    std::uint64_t flags = 0;  // SHF_*
    std::uint64_t address = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
    std::uint64_t entry_size = 0;
    std::uint32_t link = 0;
};

struct ElfSegment {
    std::uint32_t type = 0;  // PT_*
    std::uint64_t offset = 0;
    std::uint64_t virt = 0;
    std::uint64_t phys = 0;
    std::uint64_t file_size = 0;
    std::uint64_t memory_size = 0;
};

struct ElfSymbol {
    std::uint32_t name = 0;  // offset into the string table
    std::uint8_t info = 0;   // binding << 4 | type
    std::uint16_t section = 0;
    std::uint64_t value = 0;
    std::uint64_t size = 0;
};

struct ElfSymbols {
    std::vector<ElfSymbol> symbols;  // the null symbol left out
    std::vector<std::byte> strings;  // never empty, ends with NUL
};

class ElfReader {
  public:
    // The source must outlive the reader. Accepts little-endian x86_64 and i386 files only.
    static Result<ElfReader> open(const ByteSource& source);

    [[nodiscard]] bool is_64bit() const { return is_64bit_; }
    [[nodiscard]] std::uint64_t entry() const { return entry_; }
    Result<std::vector<ElfSegment>> segments() const;
    Result<std::vector<ElfSection>> sections() const;
    // Symbols of the SHT_SYMTAB section; error if there is none.
    Result<ElfSymbols> symbols(const std::vector<ElfSection>& sections) const;

  private:
    struct EndElf {
        void operator()(Elf* elf) const;
    };
    explicit ElfReader(const ByteSource& source) : source_(&source) {}

    const ByteSource* source_;
    std::unique_ptr<Elf, EndElf> elf_;
    bool is_64bit_ = false;
    std::uint64_t entry_ = 0;
    std::uint32_t names_section_ = 0;
};

}  // namespace jumpback
