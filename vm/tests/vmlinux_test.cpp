// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/vmlinux.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "damaged_elf.h"
#include "elf_builder.h"
#include "temp_folder.h"

namespace jumpback {
namespace {

template <typename T>
struct BaseOf;
template <>
struct BaseOf<test::Elf64Types> {
    static constexpr std::uint64_t kValue = test::kBase64;
    static constexpr Arch kArch = Arch::x86_64;
};
template <>
struct BaseOf<test::Elf32Types> {
    static constexpr std::uint64_t kValue = test::kBase32;
    static constexpr Arch kArch = Arch::i386;
};

template <typename T>
class VmlinuxTest : public ::testing::Test {
  protected:
    static constexpr std::uint64_t kBase = BaseOf<T>::kValue;
    VmlinuxTest() : file_(test::small_kernel<T>(kBase).build()) {}

    Vmlinux open() {
        auto kernel = Vmlinux::from_memory(file_, "small");
        EXPECT_TRUE(kernel.ok()) << (kernel.ok() ? "" : kernel.error().message());
        return std::move(kernel).value();
    }
    // "name+offset", or "-" where no symbol stands.
    static std::string at(const Vmlinux& kernel, std::uint64_t address) {
        const auto found = kernel.find(Gva{address});
        return found ? std::string(found->symbol.name) + "+" + std::to_string(found->offset.raw)
                     : "-";
    }
    std::vector<std::byte> file_;
};

using Widths = ::testing::Types<test::Elf64Types, test::Elf32Types>;
TYPED_TEST_SUITE(VmlinuxTest, Widths);

TYPED_TEST(VmlinuxTest, TellsArchitectureEntryAndRelease) {
    const Vmlinux kernel = this->open();
    EXPECT_EQ(kernel.arch(), BaseOf<TypeParam>::kArch);
    EXPECT_EQ(kernel.entry(), Gpa{0x1000000});
    EXPECT_EQ(kernel.banner().value(), "Linux version 6.1.192 (me@here) (gcc) #1 SMP");
    EXPECT_EQ(kernel.release().value(), "6.1.192");
}

TYPED_TEST(VmlinuxTest, FindsByName) {
    const Vmlinux kernel = this->open();
    const Symbol outer = kernel.symbol("outer").value();
    EXPECT_EQ(outer.address, Gva{this->kBase + 0x30});
    EXPECT_EQ(outer.size, Bytes{0x40});
    EXPECT_EQ(outer.kind, SymbolKind::function);
    EXPECT_TRUE(kernel.symbol("__ksymtab_outer").ok()) << "bookkeeping can be asked for by name";
    EXPECT_TRUE(kernel.symbol("cpu_number").value().percpu);
    EXPECT_TRUE(kernel.symbol("a_number").value().absolute);
}

TYPED_TEST(VmlinuxTest, SaysWhyANameGivesNoAddress) {
    const Vmlinux kernel = this->open();
    EXPECT_NE(kernel.symbol("printk").error().what.find("no symbol 'printk'"), std::string::npos);
    const auto twice = kernel.symbol("twice");
    ASSERT_FALSE(twice.ok());
    EXPECT_NE(twice.error().what.find("2 addresses"), std::string::npos) << twice.error().what;
    const auto both = kernel.symbols("twice");
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(both[0].address, Gva{this->kBase + 0x80});
    EXPECT_EQ(both[1].address, Gva{this->kBase + 0x90});
}

TYPED_TEST(VmlinuxTest, FindsByAddressHonouringSizesAndNesting) {
    const Vmlinux kernel = this->open();
    const std::uint64_t base = this->kBase;
    EXPECT_EQ(this->at(kernel, base), "startup_64+0") << "sized global beats _text and weak alias";
    EXPECT_EQ(this->at(kernel, base + 0x1f), "startup_64+31");
    EXPECT_EQ(this->at(kernel, base + 0x20), "-") << "a gap between sized symbols";
    EXPECT_EQ(this->at(kernel, base + 0x3f), "outer+15");
    EXPECT_EQ(this->at(kernel, base + 0x47), "inner_label+7");
    EXPECT_EQ(this->at(kernel, base + 0x48), "outer+24") << "behind the inner one";
    EXPECT_EQ(this->at(kernel, base + 0x6f), "outer+63");
    EXPECT_EQ(this->at(kernel, base + 0x70), "-");
    EXPECT_EQ(this->at(kernel, base + 0x85), "twice+5") << "a number is no place";
    EXPECT_EQ(this->at(kernel, base + 0xef), "unsized+79") << "reaches to the next symbol";
    EXPECT_EQ(this->at(kernel, base + 0xff), "last+15") << "reaches to the section's end";
    EXPECT_EQ(this->at(kernel, base + 0x100), "-");
    EXPECT_EQ(this->at(kernel, base + 0x1000), "linux_banner+0") << "not __ksymtab_outer";
    EXPECT_EQ(this->at(kernel, base + 0x3017), "counter+7");
    EXPECT_EQ(this->at(kernel, base - 1), "-");
    EXPECT_EQ(this->at(kernel, 0x40), "-") << "a per-CPU offset is no address";
    EXPECT_EQ(this->at(kernel, ~std::uint64_t{0}), "-");
}

TYPED_TEST(VmlinuxTest, MapsVirtualAndPhysical) {
    const Vmlinux kernel = this->open();
    const std::uint64_t base = this->kBase;
    EXPECT_EQ(kernel.to_phys(Gva{base + 0x30}), Gpa{0x1000030});
    EXPECT_EQ(kernel.to_virt(Gpa{0x1000030}), Gva{base + 0x30});
    EXPECT_EQ(kernel.to_phys(Gva{base + 0x31ff}), Gpa{0x10031ff});
    EXPECT_EQ(kernel.to_phys(Gva{base + 0x3200}), std::nullopt);
    EXPECT_EQ(kernel.to_virt(Gpa{0xffffff}), std::nullopt);
    const auto percpu = kernel.find(Gpa{0x1002042});
    ASSERT_TRUE(percpu.has_value());
    EXPECT_EQ(percpu->symbol.name, "cpu_number");
    EXPECT_EQ(percpu->offset, Bytes{2});
    EXPECT_EQ(percpu->symbol.address, Gva{0x40}) << "as nm prints it";
}

TYPED_TEST(VmlinuxTest, ReadsContentsWithZeroBss) {
    const Vmlinux kernel = this->open();
    EXPECT_EQ(kernel.read(Gva{this->kBase}, Bytes{2}).value(),
              std::vector<std::byte>(2, std::byte{0x90}));
    EXPECT_EQ(kernel.read(Gva{this->kBase + 0x3000}, Bytes{4}).value(),
              std::vector<std::byte>(4, std::byte{0}));
    EXPECT_FALSE(kernel.read(Gva{this->kBase + 0xff}, Bytes{2}).ok()) << "across the segment's end";
    EXPECT_FALSE(kernel.read(Gva{this->kBase}, Bytes{~std::uint64_t{0}}).ok());
    EXPECT_FALSE(kernel.read(Gva{0x1234}, Bytes{1}).ok());
}

using test::gzip;
using test::kernel_with_config;

TEST(VmlinuxConfig, IsUnpacked) {
    const std::string text = "CONFIG_HIBERNATION=y\n" + std::string(300'000, '#');
    const auto file = kernel_with_config(gzip(text), "IKCFG_ED");
    const auto config = Vmlinux::from_memory(file, "k").value().config();
    ASSERT_TRUE(config.ok()) << config.error().message();
    EXPECT_EQ(config.value(), test::bytes_of(text));
}

TEST(VmlinuxConfig, IsNothingWhenTheKernelHasNone) {
    const auto file = test::small_kernel<test::Elf64Types>(test::kBase64).build();
    EXPECT_FALSE(Vmlinux::from_memory(file, "k").value().config().value().has_value());
}

TEST(VmlinuxConfig, DamageIsAnError) {
    const std::string good = gzip("CONFIG_X=y\n");
    const auto error_of = [](const std::vector<std::byte>& file) {
        const auto config = Vmlinux::from_memory(file, "k").value().config();
        return config.ok() ? std::string("no error") : config.error().what;
    };
    EXPECT_NE(error_of(kernel_with_config(good, "IKCFG_XX")).find("marks"), std::string::npos);
    EXPECT_NE(
        error_of(kernel_with_config(good.substr(0, good.size() - 9), "IKCFG_ED")).find("cut short"),
        std::string::npos);
    std::string flipped = good;
    flipped[flipped.size() - 6] ^= 1;  // the CRC
    EXPECT_NE(error_of(kernel_with_config(flipped, "IKCFG_ED")).find("damaged"), std::string::npos);
    const std::string bomb = gzip(std::string(17 << 20, '\0'));
    EXPECT_NE(error_of(kernel_with_config(bomb, "IKCFG_ED")).find("more than"), std::string::npos);
}

// A kernel built here, given by the environment: nothing in it is known but its shape.
TEST(VmlinuxReal, FindsTheSymbolsThatTheRigStopsAt) {
    const char* path = std::getenv("JUMPBACK_TEST_VMLINUX");
    if (path == nullptr) {
        GTEST_SKIP() << "JUMPBACK_TEST_VMLINUX names no vmlinux to try";
    }
    const auto kernel = Vmlinux::open(path);
    ASSERT_TRUE(kernel.ok()) << kernel.error().message();
    EXPECT_TRUE(kernel->release().ok());
    const Symbol save = kernel->symbol("swsusp_save").value();
    EXPECT_EQ(kernel->find(save.address)->symbol.name, "swsusp_save");
}

}  // namespace
}  // namespace jumpback
