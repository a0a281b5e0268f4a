// SPDX-License-Identifier: GPL-2.0-or-later
//
// Files from which no relocate_kernel can be taken: the error names the file and what is missing.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "vm/relocate/session.h"
#include "vm/relocate/target.h"
#include "vm/tests/elf_builder.h"

namespace jumpback::relocate_check {
namespace {

using Builder = jumpback::test::ElfBuilder<jumpback::test::Elf64Types>;

constexpr std::uint64_t kBase = 0xffffffff81000000;
constexpr const char* kFile = "some/vmlinux";

// Just enough of a kernel of the page_list convention for Target to take it.
Builder sound() {
    Builder elf;
    elf.sections = {
        {".text", kBase, std::vector<std::byte>(0x2000, std::byte{0x90}), 0,
         SHF_ALLOC | SHF_EXECINSTR, 0x1000000},
        {".rodata", kBase + 0x3000,
         jumpback::test::bytes_of(std::string("Linux version 6.1.192 (me@here) (gcc) #1 SMP\n") +
                                  '\0'),
         0, SHF_ALLOC, 0x1003000},
    };
    elf.symbols = {
        {"_text", kBase, 0, 1, STT_NOTYPE},
        {"relocate_kernel", kBase + 0x1000, 0x80, 1},
        {"identity_mapped", kBase + 0x1080, 0x80, 1, STT_FUNC, STB_LOCAL},
        {"virtual_mapped", kBase + 0x1100, 0x40, 1, STT_FUNC, STB_LOCAL},
        {"swap_pages", kBase + 0x1140, 0x60, 1, STT_FUNC, STB_LOCAL},
        {"machine_kexec", kBase + 0x100, 0x100, 1},
        {"_etext", kBase + 0x2000, 0, 1, STT_NOTYPE},
        {"linux_banner", kBase + 0x3000, 0, 2, STT_OBJECT},
    };
    return elf;
}

// The same for 6.14 on.
Builder sound_flags() {
    Builder elf = sound();
    elf.sections[1].data = jumpback::test::bytes_of(
        std::string("Linux version 7.2.13 (me@here) (gcc) #1 SMP\n") + '\0');
    elf.symbols.insert(elf.symbols.end(),
                       {{"__relocate_kernel_start", kBase + 0x1000, 0, 1, STT_NOTYPE},
                        {"kexec_va_control_page", kBase + 0x11a0, 8, 1, STT_OBJECT},
                        {"kexec_pa_table_page", kBase + 0x11a8, 8, 1, STT_OBJECT},
                        {"kexec_pa_swap_page", kBase + 0x11b0, 8, 1, STT_OBJECT},
                        {"pa_backup_pages_map", kBase + 0x11b8, 8, 1, STT_OBJECT},
                        {"kexec_debug_idt", kBase + 0x11c0, 256, 1, STT_OBJECT},
                        {"__relocate_kernel_end", kBase + 0x12c0, 0, 1, STT_NOTYPE}});
    return elf;
}

Result<Target> open(Builder elf) {
    const std::vector<std::byte> bytes = elf.build();
    const Result<Vmlinux> vmlinux = Vmlinux::from_memory(bytes, kFile);
    if (!vmlinux) {
        return vmlinux.error();
    }
    return Target::from(*vmlinux);
}

jumpback::test::TestSymbol& symbol(Builder& elf, const std::string& name) {
    return *std::find_if(elf.symbols.begin(), elf.symbols.end(),
                         [&](const auto& one) { return one.name == name; });
}

struct Damage {
    const char* name;
    bool flags = false;
    std::function<void(Builder&)> apply;
    const char* said;
};

std::function<void(Builder&)> without(const char* name) {
    return [name](Builder& elf) { symbol(elf, name).name = "something_else"; };
}

std::vector<Damage> damages() {
    return {
        {"NoSymbolTable", false, [](Builder& elf) { elf.with_symtab = false; }, "symbol"},
        {"NoRelocateKernel", false, without("relocate_kernel"), "CONFIG_KEXEC"},
        {"TwoRelocateKernels", false,
         [](Builder& elf) { symbol(elf, "_etext").name = "relocate_kernel"; },
         "2 symbols 'relocate_kernel'"},
        {"NoMachineKexec", false, without("machine_kexec"), "machine_kexec"},
        {"NoBanner", false, without("linux_banner"), "linux_banner"},
        {"NoSwapPages", false, without("swap_pages"), "swap_pages"},
        {"NoIdentityMapped", false, without("identity_mapped"), "identity_mapped"},
        {"NoVirtualMapped", false, without("virtual_mapped"), "virtual_mapped"},
        {"SwapPagesFarAway", false,
         [](Builder& elf) { symbol(elf, "swap_pages").value = kBase + 0x1fff; }, "swap_pages"},
        {"SwapPagesWithoutEnd", false,
         [](Builder& elf) { symbol(elf, "swap_pages").size = ~std::uint64_t{0}; }, "swap_pages"},
        {"CodeEndsWithItsSection", false, [](Builder& elf) { elf.sections[0].data.resize(0x1100); },
         "0xffffffff81001000"},
        {"CodeInNoSection", false,
         [](Builder& elf) { symbol(elf, "relocate_kernel").value = 0xffffffffffffff00; },
         "0xffffffffffffff00"},
        {"NoRelease", false,
         [](Builder& elf) {
             elf.sections[1].data = jumpback::test::bytes_of(std::string("Hello\n") + '\0');
         },
         "Linux version"},
        {"NoEnd", true, without("__relocate_kernel_end"), "__relocate_kernel_end"},
        {"EndBeforeStart", true,
         [](Builder& elf) { symbol(elf, "__relocate_kernel_end").value = kBase; },
         "__relocate_kernel_end"},
        {"TooLarge", true,
         [](Builder& elf) { symbol(elf, "__relocate_kernel_end").value = kBase + 0x1c00; }, "2048"},
        {"EntryOutside", true,
         [](Builder& elf) { symbol(elf, "relocate_kernel").value = kBase + 0x200; }, "outside"},
        {"NoSwapPageWord", true, without("kexec_pa_swap_page"), "kexec_pa_swap_page"},
        {"IdtPastTheEnd", true,
         [](Builder& elf) { symbol(elf, "kexec_debug_idt").value = kBase + 0x12b0; },
         "kexec_debug_idt"},
    };
}

class BadVmlinuxTest : public testing::TestWithParam<Damage> {};

TEST_P(BadVmlinuxTest, NamesTheFileAndWhatIsMissing) {
    Builder elf = GetParam().flags ? sound_flags() : sound();
    GetParam().apply(elf);
    const Result<Target> target = open(elf);
    ASSERT_FALSE(target.ok());
    const std::string message = target.error().message();
    EXPECT_NE(message.find(kFile), std::string::npos) << message;
    EXPECT_NE(message.find(GetParam().said), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Damages, BadVmlinuxTest, testing::ValuesIn(damages()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(SoundVmlinuxTest, WithoutDamageBothConventionsAreTaken) {
    const Result<Target> old = open(sound());
    ASSERT_TRUE(old.ok()) << old.error().message();
    EXPECT_EQ(old->generation.abi, relocate::Abi::kPageList);
    EXPECT_EQ(relocate::to_string(old->generation.version), "6.1");
    EXPECT_EQ(old->code_bytes, 0x1a0U);
    EXPECT_EQ(old->name_at(0x83), "identity_mapped+0x3");
    const Result<Target> now = open(sound_flags());
    ASSERT_TRUE(now.ok()) << now.error().message();
    EXPECT_EQ(now->generation.abi, relocate::Abi::kFlags);
    EXPECT_EQ(now->places_in_control_page().code_size.raw, 0x2c0U);
    EXPECT_FALSE(now->debug_gdt().has_value());
}

// What passes for a kernel, and has code or addresses that no kernel has.
TEST(HostileVmlinuxTest, CodeWhereLargePagesAreMapped) {
    Builder elf = sound();
    constexpr std::uint64_t kLow = 0x3000;
    elf.sections[0].address = kLow;
    for (auto& one : elf.symbols) {
        one.value = one.value < kBase + 0x3000 ? one.value - kBase + kLow : one.value;
    }
    const Result<Target> target = open(elf);
    ASSERT_TRUE(target.ok()) << target.error().message();
    const auto checker = Checker::create(std::make_shared<const Target>(*target));
    ASSERT_FALSE(checker.ok());
    EXPECT_NE(checker.error().message().find("page tables"), std::string::npos)
        << checker.error().message();
}

TEST(HostileVmlinuxTest, ACallerInTheWayOfOneLayout) {
    Builder elf = sound();
    symbol(elf, "machine_kexec").value = 0xffff888180005000;  // where layout 1 has its control page
    const Result<Target> target = open(elf);
    ASSERT_TRUE(target.ok()) << target.error().message();
    const auto checker = Checker::create(std::make_shared<const Target>(*target));
    ASSERT_FALSE(checker.ok());
    EXPECT_NE(checker.error().message().find("machine layout 1"), std::string::npos)
        << checker.error().message();
}

TEST(HostileVmlinuxTest, CodeThatBringsTheEmulatorDown) {
    Builder elf = sound();
    elf.sections[0].data[0x1000] = std::byte{0xff};  // a far jump to a register: Unicorn aborts
    elf.sections[0].data[0x1001] = std::byte{0xe8};
    const Result<Target> target = open(elf);
    ASSERT_TRUE(target.ok()) << target.error().message();
    const Status done = rehearse(std::make_shared<const Target>(*target), {}, nullptr);
    ASSERT_FALSE(done.ok());
    EXPECT_NE(done.error().message().find("the emulator died"), std::string::npos)
        << done.error().message();
}

TEST(SoundVmlinuxTest, AVersionWithoutARowIsTakenForItsNeighbourAndSaysSo) {
    Builder elf = sound();
    elf.sections[1].data =
        jumpback::test::bytes_of(std::string("Linux version 5.15.3 (me@here)\n") + '\0');
    const Result<Target> target = open(elf);
    ASSERT_TRUE(target.ok()) << target.error().message();
    EXPECT_EQ(relocate::to_string(target->generation.version), "5.10");
    EXPECT_NE(target->note.find("5.15 has no row"), std::string::npos) << target->note;
}

}  // namespace
}  // namespace jumpback::relocate_check
