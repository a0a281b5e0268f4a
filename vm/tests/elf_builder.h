// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes a small vmlinux into memory, 32 or 64 bits wide, for tests that need to know every byte.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace jumpback::test {

struct TestSection {
    std::string name;
    std::uint64_t address = 0;
    std::vector<std::byte> data;  // also the size, unless bss is set
    std::uint64_t bss = 0;        // bytes of SHT_NOBITS
    std::uint64_t flags = SHF_ALLOC;
    std::uint64_t phys = 0;  // its segment's; every section gets one
};

struct TestSymbol {
    std::string name;
    std::uint64_t value = 0;
    std::uint64_t size = 0;
    std::uint16_t section = 0;  // index into the sections given, from 1; or SHN_ABS, SHN_UNDEF
    unsigned char type = STT_FUNC;
    unsigned char binding = STB_GLOBAL;
};

inline std::vector<std::byte> bytes_of(const std::string& text) {
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

struct Elf64Types {
    using Ehdr = Elf64_Ehdr;
    using Phdr = Elf64_Phdr;
    using Shdr = Elf64_Shdr;
    using Sym = Elf64_Sym;
    static constexpr unsigned char kClass = ELFCLASS64;
    static constexpr std::uint16_t kMachine = EM_X86_64;
};
struct Elf32Types {
    using Ehdr = Elf32_Ehdr;
    using Phdr = Elf32_Phdr;
    using Shdr = Elf32_Shdr;
    using Sym = Elf32_Sym;
    static constexpr unsigned char kClass = ELFCLASS32;
    static constexpr std::uint16_t kMachine = EM_386;
};

// Layout: header, program headers, sections' bytes, .symtab, .strtab, .shstrtab, section headers.
template <typename T>
class ElfBuilder {
  public:
    std::vector<TestSection> sections;
    std::vector<TestSymbol> symbols;
    std::uint64_t entry = 0x1000000;
    bool with_symtab = true;

    [[nodiscard]] std::vector<std::byte> build() {
        out_.clear();
        append(typename T::Ehdr{});
        for (std::size_t i = 0; i < sections.size(); ++i) {
            append(typename T::Phdr{});
        }
        std::vector<typename T::Shdr> headers(1);
        std::string names(1, '\0');
        for (std::size_t i = 0; i < sections.size(); ++i) {
            headers.push_back(place(sections[i], i, names));
        }
        if (with_symtab) {
            const auto [table, strings] = symbol_bytes();
            headers.push_back(raw_section(names, ".symtab", SHT_SYMTAB, table));
            set(headers.back().sh_link, headers.size());
            set(headers.back().sh_entsize, sizeof(typename T::Sym));
            headers.push_back(raw_section(names, ".strtab", SHT_STRTAB, bytes_of(strings)));
        }
        // The name of the name table goes in before its bytes are written.
        const std::string all_names = names + ".shstrtab" + '\0';
        headers.push_back(raw_section(names, ".shstrtab", SHT_STRTAB, bytes_of(all_names)));
        typename T::Ehdr header{};
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = T::kClass;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_VERSION] = EV_CURRENT;
        set(header.e_type, ET_EXEC);
        set(header.e_machine, T::kMachine);
        set(header.e_version, EV_CURRENT);
        set(header.e_entry, entry);
        set(header.e_phoff, sizeof(typename T::Ehdr));
        set(header.e_shoff, out_.size());
        set(header.e_ehsize, sizeof(typename T::Ehdr));
        set(header.e_phentsize, sizeof(typename T::Phdr));
        set(header.e_phnum, sections.size());
        set(header.e_shentsize, sizeof(typename T::Shdr));
        set(header.e_shnum, headers.size());
        set(header.e_shstrndx, headers.size() - 1);
        std::memcpy(out_.data(), &header, sizeof(header));
        for (const auto& section : headers) {
            append(section);
        }
        return out_;
    }

  private:
    template <typename Field, typename Value>
    static void set(Field& field, Value value) {
        field = static_cast<Field>(value);
    }
    template <typename Raw>
    void append(const Raw& raw) {
        const auto* start = reinterpret_cast<const std::byte*>(&raw);
        out_.insert(out_.end(), start, start + sizeof(raw));
    }

    typename T::Shdr raw_section(std::string& names, const std::string& name, std::uint32_t type,
                                 const std::vector<std::byte>& data) {
        typename T::Shdr section{};
        set(section.sh_name, names.size());
        names += name + '\0';
        set(section.sh_type, type);
        set(section.sh_offset, out_.size());
        set(section.sh_size, data.size());
        out_.insert(out_.end(), data.begin(), data.end());
        return section;
    }

    typename T::Shdr place(const TestSection& from, std::size_t index, std::string& names) {
        typename T::Phdr segment{};
        const std::uint64_t size = from.bss != 0 ? from.bss : from.data.size();
        set(segment.p_type, PT_LOAD);
        set(segment.p_offset, out_.size());
        set(segment.p_vaddr, from.address);
        set(segment.p_paddr, from.phys);
        set(segment.p_filesz, from.data.size());
        set(segment.p_memsz, size);
        std::memcpy(out_.data() + sizeof(typename T::Ehdr) + index * sizeof(segment), &segment,
                    sizeof(segment));
        auto section =
            raw_section(names, from.name, from.bss != 0 ? SHT_NOBITS : SHT_PROGBITS, from.data);
        set(section.sh_addr, from.address);
        set(section.sh_size, size);
        set(section.sh_flags, from.flags);
        return section;
    }

    std::pair<std::vector<std::byte>, std::string> symbol_bytes() const {
        std::string strings(1, '\0');
        std::vector<typename T::Sym> table(1);
        for (const TestSymbol& from : symbols) {
            typename T::Sym symbol{};
            set(symbol.st_name, strings.size());
            strings += from.name + '\0';
            set(symbol.st_value, from.value);
            set(symbol.st_size, from.size);
            set(symbol.st_shndx, from.section);
            set(symbol.st_info, (from.binding << 4) | from.type);
            table.push_back(symbol);
        }
        std::vector<std::byte> raw(table.size() * sizeof(typename T::Sym));
        std::memcpy(raw.data(), table.data(), raw.size());
        return {raw, strings};
    }

    std::vector<std::byte> out_;
};

// A kernel in miniature: text, rodata with banner, per-CPU template, bss.
template <typename T>
ElfBuilder<T> small_kernel(std::uint64_t base) {
    ElfBuilder<T> elf;
    elf.sections = {
        {".text", base, std::vector<std::byte>(0x100, std::byte{0x90}), 0,
         SHF_ALLOC | SHF_EXECINSTR, 0x1000000},
        {".rodata", base + 0x1000,
         bytes_of(std::string("Linux version 6.1.192 (me@here) (gcc) #1 SMP\n") + '\0'), 0,
         SHF_ALLOC, 0x1001000},
        {".data..percpu", 0, std::vector<std::byte>(0x80, std::byte{7}), 0, SHF_ALLOC | SHF_WRITE,
         0x1002000},
        {".bss", base + 0x3000, {}, 0x200, SHF_ALLOC | SHF_WRITE, 0x1003000},
    };
    elf.symbols = {
        {"file.c", 0, 0, SHN_ABS, STT_FILE, STB_LOCAL},
        {"", base, 0, 1, STT_SECTION, STB_LOCAL},
        {"printk", 0, 0, SHN_UNDEF},
        {"_text", base, 0, 1, STT_NOTYPE},
        {"startup_64", base, 0x20, 1},
        {"__alias_of_start", base, 0x20, 1, STT_FUNC, STB_WEAK},
        {"outer", base + 0x30, 0x40, 1},
        {"inner_label", base + 0x40, 0x8, 1, STT_NOTYPE, STB_LOCAL},
        {"twice", base + 0x80, 0x8, 1, STT_FUNC, STB_LOCAL},
        {"twice", base + 0x90, 0x8, 1, STT_FUNC, STB_LOCAL},
        {"unsized", base + 0xa0, 0, 1, STT_NOTYPE},
        {"last", base + 0xf0, 0, 1, STT_NOTYPE},
        {"_etext", base + 0x100, 0, 1, STT_NOTYPE},
        {"__ksymtab_outer", base + 0x1000, 8, 2, STT_OBJECT, STB_LOCAL},
        {"linux_banner", base + 0x1000, 0, 2, STT_OBJECT},
        {"cpu_number", 0x40, 4, 3, STT_OBJECT},
        {"counter", base + 0x3010, 8, 4, STT_OBJECT},
        {"a_number", base + 0x84, 0, SHN_ABS, STT_NOTYPE},
    };
    return elf;
}

inline constexpr std::uint64_t kBase64 = 0xffffffff81000000;
inline constexpr std::uint64_t kBase32 = 0xc1000000;

}  // namespace jumpback::test
