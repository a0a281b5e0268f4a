// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files that claim to be a vmlinux and are not, or not whole: each with what its error must say.
// The fuzzer starts from them, and the tests hold the errors against them.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "elf_builder.h"

namespace jumpback::test {

struct DamagedFile {
    std::string name;
    std::vector<std::byte> bytes;
    std::string expected;  // a part of the error's text
};

template <typename T>
typename T::Ehdr elf_header(const std::vector<std::byte>& file) {
    typename T::Ehdr header;
    std::memcpy(&header, file.data(), sizeof(header));
    return header;
}

template <typename T>
std::vector<std::byte> with_header(std::vector<std::byte> file,
                                   const std::function<void(typename T::Ehdr&)>& change) {
    typename T::Ehdr header = elf_header<T>(file);
    change(header);
    std::memcpy(file.data(), &header, sizeof(header));
    return file;
}

// Changes section header `index`.
template <typename T>
std::vector<std::byte> with_section(std::vector<std::byte> file, std::size_t index,
                                    const std::function<void(typename T::Shdr&)>& change) {
    typename T::Shdr section;
    const std::size_t at = elf_header<T>(file).e_shoff + index * sizeof(section);
    std::memcpy(&section, file.data() + at, sizeof(section));
    change(section);
    std::memcpy(file.data() + at, &section, sizeof(section));
    return file;
}

// In small_kernel(), behind the null section and its own four.
inline constexpr std::size_t kSymtabSection = 5;
inline constexpr std::size_t kStrtabSection = 6;

template <typename T>
std::vector<DamagedFile> damaged_kernels(std::uint64_t base) {
    const auto whole = small_kernel<T>(base).build();
    const auto section = [&](std::size_t index, std::function<void(typename T::Shdr&)> change) {
        return with_section<T>(whole, index, std::move(change));
    };
    const auto header = [&](std::function<void(typename T::Ehdr&)> change) {
        return with_header<T>(whole, std::move(change));
    };
    // The widest offset that the class can say, so that offset + size wraps around.
    using Offset = decltype(T::Shdr::sh_offset);
    constexpr Offset kTop = ~Offset{0};

    auto stripped = small_kernel<T>(base);
    stripped.with_symtab = false;
    auto without_symbols = small_kernel<T>(base);
    without_symbols.symbols.clear();
    auto without_segments = small_kernel<T>(base);
    without_segments.sections.clear();

    const auto cut_to = [&](std::size_t length) {
        return std::vector<std::byte>(whole.begin(),
                                      whole.begin() + static_cast<std::ptrdiff_t>(length));
    };
    return {
        {"stripped", stripped.build(), "no symbol table: it is stripped"},
        {"no-symbols", without_symbols.build(), "empty symbol table"},
        {"no-segments", without_segments.build(), "no loadable segment"},
        {"other-machine", header([](auto& h) { h.e_machine = EM_AARCH64; }), "ELF machine 183"},
        {"other-width", header([](auto& h) { h.e_machine = EM_X86_64 + EM_386 - h.e_machine; }),
         "expected x86_64 (62) or i386 (3)"},
        {"big-endian", header([](auto& h) { h.e_ident[EI_DATA] = ELFDATA2MSB; }), "little-endian"},
        {"no-class", header([](auto& h) { h.e_ident[EI_CLASS] = ELFCLASSNONE; }), "ELF class 0"},
        {"symtab-past-end", section(kSymtabSection, [](auto& s) { s.sh_offset = kTop / 2; }),
         "symbol table"},
        {"symtab-wraps", section(kSymtabSection, [](auto& s) { s.sh_offset = kTop - 7; }),
         "symbol table"},
        {"symtab-endless", section(kSymtabSection, [](auto& s) { s.sh_size = kTop; }),
         "symbol table"},
        {"strtab-past-end", section(kStrtabSection, [](auto& s) { s.sh_offset = kTop / 2; }),
         "string table"},
        {"strtab-nowhere", section(kSymtabSection, [](auto& s) { s.sh_link = 4000; }),
         "section 4000"},
        {"symbols-of-no-size", section(kSymtabSection, [](auto& s) { s.sh_entsize = 0; }),
         "entries of 0 bytes"},
        {"sections-past-end", header([](auto& h) { h.e_shoff = kTop / 2; }), ""},
        {"segments-past-end", header([](auto& h) { h.e_phoff = kTop / 2; }), ""},
        {"too-many-sections", header([](auto& h) { h.e_shnum = 0xfeff; }), ""},
        {"too-many-segments", header([](auto& h) { h.e_phnum = 0xfffe; }), ""},
        {"cut-in-header", cut_to(sizeof(typename T::Ehdr) - 1), ""},
        {"cut-in-segments", cut_to(sizeof(typename T::Ehdr) + 5), ""},
        {"cut-in-half", cut_to(whole.size() / 2), ""},
        {"cut-at-end", cut_to(whole.size() - 1), ""},
    };
}

inline std::string gzip(std::string text) {
    z_stream stream{};
    std::string out(text.size() + 1024, '\0');
    if (deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::runtime_error("zlib cannot be set up");
    }
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int state = deflate(&stream, Z_FINISH);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    if (state != Z_STREAM_END) {
        throw std::runtime_error("zlib did not finish");
    }
    return out;
}

// kernel_config_data between its marks, as kernel/configs.c lays it out.
inline std::vector<std::byte> kernel_with_config(const std::string& packed,
                                                 const std::string& end_mark) {
    auto elf = small_kernel<Elf64Types>(kBase64);
    const std::uint64_t at = kBase64 + 0x8000;
    elf.sections.push_back(
        {".config", at, bytes_of("IKCFG_ST" + packed + end_mark), 0, SHF_ALLOC, 0x1008000});
    elf.symbols.push_back({"kernel_config_data", at + 8, 0, 5, STT_NOTYPE});
    elf.symbols.push_back({"kernel_config_data_end", at + 8 + packed.size(), 0, 5, STT_NOTYPE});
    return elf.build();
}

}  // namespace jumpback::test
