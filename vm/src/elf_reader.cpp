// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/elf_reader.h"

#include <elf.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string_view>

namespace jumpback {
namespace {

std::string libelf_text() {
    const char* text = elf_errmsg(-1);
    return text != nullptr ? text : "unknown libelf error";
}

// A NUL-terminated name inside a string table; empty if the offset lies outside.
std::string_view string_in(std::span<const std::byte> table, std::uint64_t offset) {
    if (offset >= table.size()) {
        return {};
    }
    const auto* start = reinterpret_cast<const char*>(table.data()) + offset;
    const auto* end = static_cast<const char*>(
        std::memchr(start, 0, static_cast<std::size_t>(table.size() - offset)));
    return end == nullptr ? std::string_view{}
                          : std::string_view(start, static_cast<std::size_t>(end - start));
}

template <typename Sym>
std::vector<ElfSymbol> decode_symbols(std::span<const std::byte> bytes) {
    std::vector<ElfSymbol> symbols;
    const std::size_t count = bytes.size() / sizeof(Sym);
    symbols.reserve(count);
    for (std::size_t i = 1; i < count; ++i) {  // symbol 0 is the null symbol
        Sym raw;
        std::memcpy(&raw, bytes.data() + i * sizeof(Sym), sizeof(Sym));
        symbols.push_back({raw.st_name, raw.st_info, raw.st_shndx, raw.st_value, raw.st_size});
    }
    return symbols;
}

// Checks what libelf would trust: identification and that the section headers lie in the file.
Status check_header(const ByteSource& source) {
    std::array<std::byte, EI_NIDENT> bytes{};
    if (source.size() < sizeof(Elf32_Ehdr)) {
        return Error{source.label(), "is not an ELF file: only " + std::to_string(source.size()) +
                                         " bytes; expected a vmlinux (the uncompressed kernel at "
                                         "the top of the build tree)"};
    }
    if (const Status status = source.read_at(0, bytes, "ELF identification"); !status) {
        return status.error();
    }
    if (std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0) {
        return Error{source.label(),
                     "is not an ELF file (it does not start with \\x7f ELF); expected a vmlinux, "
                     "the uncompressed kernel at the top of the build tree, not a bzImage"};
    }
    const auto elf_class = std::to_integer<unsigned>(bytes[EI_CLASS]);
    if (elf_class != ELFCLASS32 && elf_class != ELFCLASS64) {
        return Error{source.label(), "has ELF class " + std::to_string(elf_class) +
                                         "; expected 1 (32-bit) or 2 (64-bit)"};
    }
    if (std::to_integer<unsigned>(bytes[EI_DATA]) != ELFDATA2LSB) {
        return Error{source.label(), "is not little-endian; expected an x86 kernel"};
    }
    return success();
}

}  // namespace

void ElfReader::EndElf::operator()(Elf* elf) const { elf_end(elf); }

Result<ElfReader> ElfReader::open(const ByteSource& source) {
    if (const Status status = check_header(source); !status) {
        return status.error();
    }
    if (elf_version(EV_CURRENT) == EV_NONE) {
        return Error{"libelf", "does not know this ELF version: " + libelf_text()};
    }
    ElfReader reader(source);
    if (source.is_file()) {
        reader.elf_.reset(elf_begin(source.fd(), ELF_C_READ, nullptr));
    } else {
        // libelf only reads, but its interface takes a writable pointer.
        auto* memory = const_cast<std::byte*>(source.memory().data());
        reader.elf_.reset(elf_memory(reinterpret_cast<char*>(memory), source.memory().size()));
    }
    GElf_Ehdr header;
    if (!reader.elf_ || elf_kind(reader.elf_.get()) != ELF_K_ELF ||
        gelf_getehdr(reader.elf_.get(), &header) == nullptr) {
        return Error{source.label(), "has a damaged ELF header: " + libelf_text()};
    }
    reader.is_64bit_ = gelf_getclass(reader.elf_.get()) == ELFCLASS64;
    const unsigned expected = reader.is_64bit_ ? EM_X86_64 : EM_386;
    if (header.e_machine != expected) {
        return Error{source.label(), "is for ELF machine " + std::to_string(header.e_machine) +
                                         "; expected x86_64 (62) or i386 (3)"};
    }
    reader.entry_ = header.e_entry;
    std::size_t names = 0;
    if (elf_getshdrstrndx(reader.elf_.get(), &names) == 0) {
        reader.names_section_ = static_cast<std::uint32_t>(names);
    }
    return reader;
}

Result<std::vector<ElfSegment>> ElfReader::segments() const {
    std::size_t count = 0;
    if (elf_getphdrnum(elf_.get(), &count) != 0) {
        return Error{source_->label(), "has damaged program headers: " + libelf_text()};
    }
    std::vector<ElfSegment> segments;
    for (std::size_t i = 0; i < count; ++i) {
        GElf_Phdr raw;
        if (gelf_getphdr(elf_.get(), static_cast<int>(i), &raw) == nullptr) {
            return Error{source_->label(), "program header " + std::to_string(i) + " of " +
                                               std::to_string(count) +
                                               " cannot be read: " + libelf_text()};
        }
        segments.push_back(
            {raw.p_type, raw.p_offset, raw.p_vaddr, raw.p_paddr, raw.p_filesz, raw.p_memsz});
    }
    return segments;
}

Result<std::vector<ElfSection>> ElfReader::sections() const {
    std::size_t count = 0;
    if (elf_getshdrnum(elf_.get(), &count) != 0) {
        return Error{source_->label(), "has damaged section headers: " + libelf_text()};
    }
    std::vector<ElfSection> sections;
    std::vector<std::uint32_t> names;
    for (std::size_t i = 0; i < count; ++i) {
        Elf_Scn* section = elf_getscn(elf_.get(), i);
        GElf_Shdr raw;
        if (section == nullptr || gelf_getshdr(section, &raw) == nullptr) {
            return Error{source_->label(), "section header " + std::to_string(i) + " of " +
                                               std::to_string(count) +
                                               " cannot be read: " + libelf_text()};
        }
        sections.push_back({"", raw.sh_type, raw.sh_flags, raw.sh_addr, raw.sh_offset, raw.sh_size,
                            raw.sh_entsize, raw.sh_link});
        names.push_back(raw.sh_name);
    }
    if (names_section_ < sections.size() && sections[names_section_].type == SHT_STRTAB) {
        const ElfSection& table = sections[names_section_];
        const auto strings = source_->read(table.offset, table.size, "the section name table");
        if (!strings) {
            return strings.error();
        }
        for (std::size_t i = 0; i < sections.size(); ++i) {
            sections[i].name = string_in(*strings, names[i]);
        }
    }
    return sections;
}

Result<ElfSymbols> ElfReader::symbols(const std::vector<ElfSection>& sections) const {
    const auto table = std::find_if(sections.begin(), sections.end(),
                                    [](const ElfSection& s) { return s.type == SHT_SYMTAB; });
    if (table == sections.end()) {
        return Error{source_->label(),
                     "has no symbol table: it is stripped; use the vmlinux that the kernel build "
                     "leaves at the top of its tree"};
    }
    const std::size_t expected = is_64bit_ ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    if (table->entry_size != expected) {
        return Error{source_->label(), "symbol table has entries of " +
                                           std::to_string(table->entry_size) + " bytes; expected " +
                                           std::to_string(expected)};
    }
    if (table->link >= sections.size() || sections[table->link].type != SHT_STRTAB) {
        return Error{source_->label(), "symbol table names section " + std::to_string(table->link) +
                                           " as its string table, which is none"};
    }
    const auto bytes = source_->read(table->offset, table->size, "the symbol table");
    if (!bytes) {
        return bytes.error();
    }
    const ElfSection& names = sections[table->link];
    auto strings = source_->read(names.offset, names.size, "the symbols' string table");
    if (!strings) {
        return strings.error();
    }
    ElfSymbols result;
    result.symbols =
        is_64bit_ ? decode_symbols<Elf64_Sym>(*bytes) : decode_symbols<Elf32_Sym>(*bytes);
    result.strings = std::move(strings).value();
    // A table that does not end with NUL is damaged; ending it keeps every name inside.
    if (result.strings.empty() || result.strings.back() != std::byte{0}) {
        result.strings.push_back(std::byte{0});
    }
    return result;
}

}  // namespace jumpback
