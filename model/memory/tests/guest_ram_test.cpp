// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/guest_ram.h"

#include <gtest/gtest.h>

namespace jumpback::memory {
namespace {

// Two regions around a hole, stored in the opposite order of their addresses.
class GuestRamTest : public testing::Test {
  protected:
    GuestRamTest() : buffer_(4 * kPageSize) {
        for (std::size_t at = 0; at < buffer_.size(); ++at) {
            buffer_[at] = static_cast<std::byte>(at / kPageSize * 16 + at % 7);
        }
    }
    [[nodiscard]] Result<GuestRam> with(std::vector<RamRegion> regions) const {
        return GuestRam::create(buffer_, std::move(regions));
    }
    std::vector<std::byte> buffer_;
};

TEST_F(GuestRamTest, ReadsThroughRegions) {
    const auto ram = with({{Gpa{0x10'0000'0000}, Bytes{0}, Bytes{kPageSize}},
                           {Gpa{0}, Bytes{kPageSize}, Bytes{3 * kPageSize}}});
    ASSERT_TRUE(ram.ok()) << ram.error().message();
    EXPECT_EQ(ram->frames(), 4U);
    EXPECT_EQ(ram->end_pfn(), Pfn{0x100'0001});
    EXPECT_EQ(ram->page(Pfn{0})->data(), buffer_.data() + kPageSize);
    EXPECT_EQ(ram->page(Pfn{0x100'0000})->data(), buffer_.data());
    EXPECT_EQ(ram->read_value<std::uint8_t>(Gpa{kPageSize + 3}).value(),
              0x20 + (2 * kPageSize + 3) % 7);
    EXPECT_FALSE(ram->page(Pfn{3}).ok());
    EXPECT_FALSE(ram->has_frame(Pfn{~std::uint64_t{0}}));
}

TEST_F(GuestRamTest, ReadCrossesAdjacentRegionsButNoHole) {
    const auto ram = with({{Gpa{0}, Bytes{2 * kPageSize}, Bytes{kPageSize}},
                           {Gpa{kPageSize}, Bytes{0}, Bytes{kPageSize}}});
    ASSERT_TRUE(ram.ok());
    std::array<std::byte, 2> two{};
    ASSERT_TRUE(ram->read(Gpa{kPageSize - 1}, two).ok());
    EXPECT_EQ(two[0], buffer_[3 * kPageSize - 1]);
    EXPECT_EQ(two[1], buffer_[0]);
    const Status over = ram->read(Gpa{2 * kPageSize - 1}, two);
    ASSERT_FALSE(over.ok());
    EXPECT_NE(over.error().message().find("0x2000"), std::string::npos);
    EXPECT_FALSE(ram->read(Gpa{~std::uint64_t{0}}, two).ok());
}

TEST_F(GuestRamTest, RefusesBadRegions) {
    EXPECT_FALSE(with({{Gpa{1}, Bytes{0}, Bytes{kPageSize}}}).ok());
    EXPECT_FALSE(with({{Gpa{0}, Bytes{0}, Bytes{0}}}).ok());
    EXPECT_FALSE(with({{Gpa{0}, Bytes{kPageSize}, Bytes{4 * kPageSize}}}).ok());
    EXPECT_FALSE(with({{Gpa{0}, Bytes{0}, Bytes{2 * kPageSize}},
                       {Gpa{kPageSize}, Bytes{2 * kPageSize}, Bytes{kPageSize}}})
                     .ok());
    EXPECT_FALSE(with({{Gpa{~std::uint64_t{0xfff}}, Bytes{0}, Bytes{2 * kPageSize}}}).ok());
    EXPECT_TRUE(with({}).ok());
}

}  // namespace
}  // namespace jumpback::memory
