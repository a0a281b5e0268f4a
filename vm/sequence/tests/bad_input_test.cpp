// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files that are no kernel, or not one with kexec jump: a clear word, never a crash.
#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "vm/sequence/survey.h"
#include "vm/sequence/tests/mini.h"

namespace jumpback::sequence::test {
namespace {

std::vector<std::byte> bytes_of_mini(const std::string& name, const std::string& arch = "x86_64") {
    std::ifstream file(mini_path(name, arch), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

// The message of whatever refuses the file; empty if nothing does.
std::string refusal(const std::vector<std::byte>& bytes) {
    const auto vmlinux = Vmlinux::from_memory(bytes, "the-file");
    if (!vmlinux) {
        return vmlinux.error().message();
    }
    const auto sequence = Sequence::create(*vmlinux);
    return sequence ? "" : sequence.error().message();
}

void expect_refused(const std::string& message, const std::string& word) {
    EXPECT_NE(message.find(word), std::string::npos) << message;
    EXPECT_NE(message.find("the-file"), std::string::npos) << message;
}

// The same symbol under another name of the same length.
std::vector<std::byte> renamed(std::vector<std::byte> bytes, std::string_view name) {
    const std::string whole = '\0' + std::string(name) + '\0';
    std::string text(bytes.size(), '\0');
    std::memcpy(text.data(), bytes.data(), bytes.size());
    const std::size_t at = text.rfind(whole);
    EXPECT_NE(at, std::string::npos) << name;
    bytes[at + 1] = std::byte{'X'};
    return bytes;
}

TEST(BadInputTest, GoodOneIsTaken) {
    EXPECT_EQ(refusal(bytes_of_mini("good")), "");
    EXPECT_EQ(refusal(bytes_of_mini("good", "i386")), "");
}

TEST(BadInputTest, WithoutKexecOrJump) {
    for (const std::string arch : {"x86_64", "i386"}) {
        expect_refused(refusal(bytes_of_mini("no-jump", arch)), "CONFIG_KEXEC_JUMP");
        const auto good = bytes_of_mini("good", arch);
        expect_refused(refusal(renamed(good, "kernel_kexec")), "has no kernel_kexec()");
        expect_refused(refusal(renamed(good, "kexec_image")), "has no kexec_image");
        expect_refused(refusal(renamed(good, "__kexec_lock")), "__kexec_lock");
        expect_refused(refusal(renamed(good, "machine_kexec")), "machine_kexec");
        expect_refused(refusal(renamed(good, "linux_banner")), "linux_banner");
        expect_refused(refusal(bytes_of_mini("no-release", arch)), "six");
    }
}

TEST(BadInputTest, OtherMachineStrippedOrNoElf) {
    auto arm = bytes_of_mini("good");
    const Elf64_Half machine = EM_AARCH64;
    std::memcpy(arm.data() + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof(machine));
    expect_refused(refusal(arm), "183");

    auto stripped = bytes_of_mini("good");
    Elf64_Ehdr header{};
    std::memcpy(&header, stripped.data(), sizeof(header));
    header.e_shnum = header.e_shstrndx = 0;
    header.e_shoff = 0;
    std::memcpy(stripped.data(), &header, sizeof(header));
    expect_refused(refusal(stripped), "symbol");

    expect_refused(refusal({}), "ELF");
    expect_refused(refusal(std::vector<std::byte>(4096, std::byte{0x55})), "ELF");
}

TEST(BadInputTest, TruncatedAnywhere) {
    const auto good = bytes_of_mini("good");
    for (std::size_t length = 0; length < good.size(); length += 97) {
        const std::vector<std::byte> cut(good.begin(),
                                         good.begin() + static_cast<std::ptrdiff_t>(length));
        EXPECT_NE(refusal(cut), "") << length;
    }
}

TEST(BadInputTest, ImpossibleSegments) {
    auto bytes = bytes_of_mini("good");
    Elf64_Ehdr header{};
    std::memcpy(&header, bytes.data(), sizeof(header));
    Elf64_Phdr segment{};
    std::memcpy(&segment, bytes.data() + header.e_phoff, sizeof(segment));
    for (const std::uint64_t address :
         {std::uint64_t{0xfffffffffffff000}, std::uint64_t{0xffffc90000000000}}) {
        segment.p_vaddr = address;
        std::memcpy(bytes.data() + header.e_phoff, &segment, sizeof(segment));
        EXPECT_NE(refusal(bytes), "");
    }
    // Variables behind the end of the address space.
    bytes = bytes_of_mini("good");
    const std::size_t second = header.e_phoff + sizeof(segment);
    std::memcpy(&segment, bytes.data() + second, sizeof(segment));
    segment.p_memsz = std::uint64_t{1} << 31;
    std::memcpy(bytes.data() + second, &segment, sizeof(segment));
    expect_refused(refusal(bytes), "does not fit");
}

// Headers, code and symbols alike: every damaged file is refused, or runs and ends. Unicorn aborts
// on some; the child process takes that.
TEST(BadInputTest, RandomDamageNeverCrashes) {
    const std::uint64_t seed = std::random_device{}();
    std::cout << "seed " << seed << '\n';
    std::mt19937_64 random(seed);
    unsigned ran = 0;
    for (unsigned round = 0; round < 120; ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        auto bytes =
            bytes_of_mini(round % 2 == 0 ? "good" : "old-mutex", round % 4 < 2 ? "x86_64" : "i386");
        const auto vmlinux_good = Vmlinux::from_memory(bytes, "good").value();
        const Symbol function = vmlinux_good.symbol("kernel_kexec").value();
        const Segment& text = vmlinux_good.segments().front();
        const std::uint64_t code = text.file_offset + (function.address.raw - text.virt.raw);
        for (auto changes = 1 + random() % 4; changes > 0; --changes) {
            // Half of the damage goes into the function itself.
            const std::size_t at =
                random() % 2 == 0 ? code + random() % function.size.raw : random() % bytes.size();
            bytes[at] = static_cast<std::byte>(random());
        }
        const auto vmlinux = Vmlinux::from_memory(bytes, "damaged");
        if (!vmlinux) {
            continue;
        }
        const auto all = survey(*vmlinux);
        if (!all) {
            EXPECT_NE(all.error().message().find("damaged"), std::string::npos)
                << all.error().message();
            continue;
        }
        ++ran;
        for (const auto& [scenario, run] : all->runs) {
            EXPECT_FALSE(jump::judge(all->kernel, scenario, run.trace).text.empty());
        }
    }
    EXPECT_GT(ran, 5U);
}

}  // namespace
}  // namespace jumpback::sequence::test
