// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/bzimage.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "elf_builder.h"

namespace jumpback {
namespace {

// Offsets as in Documentation/x86/boot.rst, spelled out here a second time on purpose.
class Image {
  public:
    Image() : bytes_(std::size_t{5} * 512 + std::size_t{64} * 16) {
        put<std::uint8_t>(0x1f1, 4);
        put<std::uint32_t>(0x1f4, 64);
        put<std::uint16_t>(0x1fe, 0xaa55);
        std::memcpy(bytes_.data() + 0x202, "HdrS", 4);
        put<std::uint16_t>(0x206, 0x020f);
        put<std::uint16_t>(0x20e, 0x600 - 0x200);
        put<std::uint8_t>(0x211, 0x81);
        put<std::uint32_t>(0x230, 0x200000);
        put<std::uint8_t>(0x234, 1);
        put<std::uint16_t>(0x236, 0x3);
        put<std::uint32_t>(0x238, 2047);
        put<std::uint32_t>(0x248, 0x10);
        put<std::uint32_t>(0x24c, 0x100);
        put<std::uint64_t>(0x258, 0x1000000);
        put<std::uint32_t>(0x260, 0x1234000);
        const std::string version = "6.1.192 (me@here) #1 SMP";
        std::memcpy(bytes_.data() + 0x600, version.c_str(), version.size() + 1);
    }
    template <typename T>
    Image& put(std::size_t offset, T value) {
        std::memcpy(bytes_.data() + offset, &value, sizeof(value));
        return *this;
    }
    Image& resize(std::size_t size) {
        bytes_.resize(size);
        return *this;
    }
    [[nodiscard]] Result<BzImage> parse() const { return BzImage::from_memory(bytes_, "image"); }
    [[nodiscard]] std::string error() const {
        const auto parsed = parse();
        return parsed.ok() ? "no error" : parsed.error().message();
    }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

  private:
    std::vector<std::byte> bytes_;
};

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

TEST(BzImageTest, ReadsEveryField) {
    const auto parsed = Image().parse();
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(parsed->protocol, 0x020f);
    EXPECT_EQ(parsed->version, "6.1.192 (me@here) #1 SMP");
    EXPECT_EQ(parsed->release(), "6.1.192");
    EXPECT_EQ(parsed->setup_sectors, 4);
    EXPECT_EQ(parsed->protected_mode_size, Bytes{1024});
    EXPECT_TRUE(parsed->loaded_high());
    EXPECT_TRUE(parsed->has_64bit_entry());
    EXPECT_TRUE(parsed->loadable_above_4g());
    EXPECT_TRUE(parsed->relocatable);
    EXPECT_EQ(parsed->kernel_alignment, 0x200000U);
    EXPECT_EQ(parsed->cmdline_size, 2047U);
    EXPECT_EQ(parsed->preferred_address, Gpa{0x1000000});
    EXPECT_EQ(parsed->init_size, Bytes{0x1234000});
    EXPECT_EQ(parsed->payload_offset, 5 * 512 + 0x10U);
    EXPECT_EQ(parsed->payload_length, Bytes{0x100});
}

TEST(BzImageTest, FieldsOfLaterProtocolsAreNotReadFromOldImages) {
    const auto parsed =
        Image().put<std::uint16_t>(0x206, 0x0204).put<std::uint8_t>(0x1f1, 0).parse();
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(parsed->setup_sectors, 4) << "0 means 4";
    EXPECT_FALSE(parsed->relocatable);
    EXPECT_FALSE(parsed->has_64bit_entry());
    EXPECT_EQ(parsed->cmdline_size, 255U);
    EXPECT_EQ(parsed->preferred_address, Gpa{0x100000});
    EXPECT_EQ(parsed->payload_length, Bytes{0});
}

TEST(BzImageTest, ThirtyTwoBitKernelHasNo64BitEntry) {
    EXPECT_FALSE(Image().put<std::uint16_t>(0x236, 0).parse().value().has_64bit_entry());
}

TEST(BzImageTest, SaysWhatIsWrong) {
    EXPECT_TRUE(contains(Image().resize(0x267).error(), "too few for a setup header"));
    EXPECT_TRUE(contains(Image().put<std::uint8_t>(0x202, 'X').error(), "not a bzImage"));
    EXPECT_TRUE(contains(Image().put<std::uint16_t>(0x1fe, 0).error(), "not a bzImage"));
    EXPECT_TRUE(contains(Image().put<std::uint16_t>(0x206, 0x0100).error(), "boot protocol"));
    EXPECT_TRUE(contains(Image().resize(5 * 512 + 64 * 16 - 1).error(), "truncated"));
    EXPECT_TRUE(contains(Image().put<std::uint32_t>(0x24c, 0xffffffff).error(), "payload"));
    EXPECT_TRUE(contains(Image().put<std::uint16_t>(0x20e, 0xf000).error(), "kernel_version"));
    EXPECT_TRUE(contains(Image().put<std::uint8_t>(0x202, 'X').error(), "image: "));
    const auto elf = test::small_kernel<test::Elf64Types>(test::kBase64).build();
    EXPECT_TRUE(contains(BzImage::from_memory(elf, "vmlinux").error().message(), "not vmlinux"));
}

TEST(BzImageTest, UnterminatedVersionStaysInTheSetupCode) {
    Image image;
    for (std::size_t at = 0x600; at < std::size_t{5} * 512; ++at) {
        image.put<char>(at, 'v');
    }
    EXPECT_EQ(image.parse().value().version.size(), 256U) << "cut at the limit";
    image.put<std::uint16_t>(0x20e, 5 * 512 - 3 - 0x200);
    EXPECT_EQ(image.parse().value().version, "vvv");
}

TEST(BzImageTest, BitFlipsNeverCrash) {
    constexpr unsigned kSeed = 20261122;
    std::mt19937 random(kSeed);
    SCOPED_TRACE(kSeed);
    const auto whole = Image().bytes();
    unsigned refused = 0;
    for (int round = 0; round < 4000; ++round) {
        auto file = whole;
        for (int flips = 0; flips < 3; ++flips) {
            file[0x1f0 + random() % 0x78] ^=
                std::byte{static_cast<unsigned char>(1U << random() % 8)};
        }
        refused += BzImage::from_memory(file, "flipped").ok() ? 0 : 1;
    }
    EXPECT_GT(refused, 0U);
}

}  // namespace
}  // namespace jumpback
