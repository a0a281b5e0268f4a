// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files that are not what they say: each must give a clear error, or at worst other symbols, but
// never a crash, a hang, or memory in proportion to a number in the file.
#include <gtest/gtest.h>

#include <random>

#include "damaged_elf.h"
#include "elf_builder.h"
#include "temp_folder.h"
#include "vm/vmlinux.h"

namespace jumpback {
namespace {

using Builder = test::ElfBuilder<test::Elf64Types>;

Builder kernel() { return test::small_kernel<test::Elf64Types>(test::kBase64); }

std::string error_of(const std::vector<std::byte>& file) {
    const auto parsed = Vmlinux::from_memory(file, "hostile");
    return parsed.ok() ? "no error" : parsed.error().message();
}

void expect_error(const std::vector<std::byte>& file, const std::string& part) {
    const std::string message = error_of(file);
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find("hostile: "), 0U) << "names the file: " << message;
}

// Everything that can be asked of a parsed file.
void exercise(const Vmlinux& parsed) {
    (void)parsed.banner();
    (void)parsed.config();
    for (const Symbol& symbol : parsed.table().sorted()) {
        (void)parsed.find(symbol.address);
        (void)parsed.symbols(symbol.name);
        (void)parsed.to_phys(symbol.address);
    }
}

// Changes a section header of the 64-bit kernel.
template <typename Change>
std::vector<std::byte> with_section(std::size_t index, Change change) {
    return test::with_section<test::Elf64Types>(kernel().build(), index, change);
}

TEST(HostileElf, OtherFilesAreNamed) {
    expect_error({}, "not an ELF file");
    expect_error(test::bytes_of("#!/bin/sh\n"), "not an ELF file");
    expect_error(test::bytes_of(std::string(4096, 'x')), "not an ELF file");
}

// Stripped, of another machine, cut, with offsets behind the end: in memory and on disk.
template <typename T>
void expect_all_refused(std::uint64_t base) {
    const test::TempFolder folder;
    for (const test::DamagedFile& damaged : test::damaged_kernels<T>(base)) {
        SCOPED_TRACE(damaged.name);
        expect_error(damaged.bytes, damaged.expected);
        test::write_file(folder / "vmlinux", damaged.bytes);
        const auto opened = Vmlinux::open(folder / "vmlinux");
        ASSERT_FALSE(opened.ok());
        EXPECT_NE(opened.error().message().find(damaged.expected), std::string::npos)
            << opened.error().message();
    }
}

TEST(HostileElf, DamagedFilesAreRefusedWithWhatIsMissing) {
    expect_all_refused<test::Elf64Types>(test::kBase64);
    expect_all_refused<test::Elf32Types>(test::kBase32);
}

TEST(HostileElf, SymbolsWithWildNumbers) {
    Builder elf = kernel();
    elf.symbols.push_back({"endless", test::kBase64 + 0x10, ~0ULL, 1});
    elf.symbols.push_back({"at_the_top", ~0ULL, ~0ULL, 1});
    elf.symbols.push_back({"nowhere", 5, 5, 0xfe00});
    const auto file = elf.build();
    const auto parsed = Vmlinux::from_memory(file, "wild");
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    exercise(*parsed);
    EXPECT_EQ(parsed->find(Gva{test::kBase64 + 0x25})->symbol.name, "endless");
    EXPECT_FALSE(parsed->find(Gva{test::kBase64 + 0x100}).has_value())
        << "no symbol reaches beyond its section";
}

// An unterminated string table, and a banner that is not one.
TEST(HostileElf, StringsStayInside) {
    const auto file = with_section(test::kStrtabSection, [](Elf64_Shdr& s) { s.sh_size = 40; });
    const auto parsed = Vmlinux::from_memory(file, "cut");
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    exercise(*parsed);
    Builder elf = kernel();
    elf.sections[1].data = test::bytes_of("Windows version 6.1");
    const auto other = elf.build();
    EXPECT_NE(Vmlinux::from_memory(other, "x").value().banner().error().what.find("linux_banner"),
              std::string::npos);
}

TEST(HostileElf, EveryTruncationIsAnErrorInMemoryAndOnDisk) {
    const test::TempFolder folder;
    const auto whole = kernel().build();
    for (std::size_t length = 0; length < whole.size(); length += 13) {
        std::vector<std::byte> cut(whole.begin(),
                                   whole.begin() + static_cast<std::ptrdiff_t>(length));
        EXPECT_NE(error_of(cut), "no error") << length << " of " << whole.size() << " bytes";
        test::write_file(folder / "vmlinux", cut);
        EXPECT_FALSE(Vmlinux::open(folder / "vmlinux").ok()) << length;
    }
    test::write_file(folder / "vmlinux", whole);
    const auto parsed = Vmlinux::open(folder / "vmlinux");
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(parsed->release().value(), "6.1.192");
}

TEST(HostileElf, FilesThatCannotBeOpened) {
    const test::TempFolder folder;
    EXPECT_NE(Vmlinux::open(folder / "none").error().what.find("No such file"), std::string::npos);
    EXPECT_NE(Vmlinux::open(folder.path()).error().what.find("not a regular file"),
              std::string::npos);
}

TEST(HostileElf, BitFlipsNeverCrash) {
    constexpr unsigned kSeed = 20261121;
    std::mt19937 random(kSeed);
    SCOPED_TRACE(kSeed);
    const auto whole = kernel().build();
    unsigned parsed_count = 0;
    unsigned refused_count = 0;
    for (int round = 0; round < 4000; ++round) {
        auto file = whole;
        for (int flips = 0; flips < 3; ++flips) {
            file[random() % file.size()] ^=
                std::byte{static_cast<unsigned char>(1U << random() % 8)};
        }
        const auto parsed = Vmlinux::from_memory(file, "flipped");
        if (parsed.ok()) {
            exercise(*parsed);
        }
        ++(parsed.ok() ? parsed_count : refused_count);
    }
    EXPECT_GT(parsed_count, 0U);
    EXPECT_GT(refused_count, 0U);
}

}  // namespace
}  // namespace jumpback
