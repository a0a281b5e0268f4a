// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/page_tables.h"

#include <gtest/gtest.h>

#include "model/memory/tests/guest_builder.h"

namespace jumpback::memory {
namespace {

constexpr std::uint64_t kTable = 3, kLarge = 0x80;

// 64 KiB of RAM with hand-written tables.
class PageTablesTest : public testing::Test {
  protected:
    PageTablesTest() : ram_(16 * kPageSize), view_(GuestRam::create(ram_, {}).value()) {}
    void entry64(std::uint64_t table, std::uint64_t index, std::uint64_t value) {
        std::memcpy(ram_.data() + table + index * 8, &value, 8);
    }
    void entry32(std::uint64_t table, std::uint64_t index, std::uint32_t value) {
        std::memcpy(ram_.data() + table + index * 4, &value, 4);
    }
    [[nodiscard]] Result<Translation> walk(PagingMode mode, std::uint64_t gva,
                                           std::uint64_t cr3 = 0x1000) const {
        return PageTables(view_, mode, cr3).translate(Gva{gva});
    }
    std::vector<std::byte> ram_;
    GuestRam view_;
};

TEST_F(PageTablesTest, FourLevelsAllPageSizes) {
    constexpr std::uint64_t kBase = 0xffff'8880'0000'0000;
    entry64(0x1000, kBase >> 39 & 511, 0x2000 | kTable);
    entry64(0x2000, 0, 0x3000 | kTable);
    entry64(0x2000, 1, 0x1'4000'0000 | kTable | kLarge);  // 1 GiB
    entry64(0x3000, 0, 0x4000 | kTable);
    entry64(0x3000, 1, 0x0060'0000 | kTable | kLarge);   // 2 MiB
    entry64(0x4000, 5, 0x8000'0000'0000'7000 | kTable);  // 4 KiB, no-execute
    const auto small = walk(PagingMode::kX86_64Level4, kBase + 0x5123, 0x8000'0000'0000'1abc);
    ASSERT_TRUE(small.ok())
        << small.error().message();  // PCID and bit 63 of CR3 are not the address
    EXPECT_EQ(small->gpa.raw, 0x7123U);
    EXPECT_EQ(small->page_size.raw, kPageSize);
    const auto medium = walk(PagingMode::kX86_64Level4, kBase + 0x20'1234);
    EXPECT_EQ(medium->gpa.raw, 0x60'1234U);
    EXPECT_EQ(medium->page_size.raw, 0x20'0000U);
    const auto large = walk(PagingMode::kX86_64Level4, kBase + 0x4012'3456);
    EXPECT_EQ(large->gpa.raw, 0x1'4012'3456U);
    EXPECT_EQ(large->page_size.raw, 0x4000'0000U);
    EXPECT_FALSE(walk(PagingMode::kX86_64Level4, kBase + 0x6000).ok());
    const auto odd = walk(PagingMode::kX86_64Level4, 0x0000'8880'0000'0000);
    ASSERT_FALSE(odd.ok());
    EXPECT_NE(odd.error().message().find("canonical"), std::string::npos);
}

TEST_F(PageTablesTest, FiveLevels) {
    constexpr std::uint64_t kBase = 0xff11'0000'0000'0000;
    entry64(0x1000, kBase >> 48 & 511, 0x2000 | kTable);
    entry64(0x2000, kBase >> 39 & 511, 0x3000 | kTable);
    entry64(0x3000, 0, 0x4000 | kTable);
    entry64(0x4000, 0, 0x0020'0000 | kTable | kLarge);
    EXPECT_EQ(walk(PagingMode::kX86_64Level5, kBase + 0x77)->gpa.raw, 0x20'0077U);
    EXPECT_FALSE(walk(PagingMode::kX86_64Level4, kBase).ok());  // not canonical with four
}

TEST_F(PageTablesTest, I386WithoutAndWithLargePages) {
    entry32(0x1000, 0xc000'0000 >> 22, 0x2000 | kTable);
    entry32(0x1000, 0xc040'0000 >> 22, 0x0040'0000 | 0x2000 | kTable | kLarge);  // PSE-36 bit 13
    entry32(0x2000, 2, 0x5000 | kTable);
    EXPECT_EQ(walk(PagingMode::kI386, 0xc000'2abc)->gpa.raw, 0x5abcU);
    EXPECT_EQ(walk(PagingMode::kI386, 0xc052'3456)->gpa.raw, 0x1'0052'3456U);
    EXPECT_FALSE(walk(PagingMode::kI386, 0x1'c000'2abc).ok());
}

TEST_F(PageTablesTest, PaeTopTableIs32ByteAligned) {
    entry64(0x1fe0, 3, 0x3000 | 1);
    entry64(0x3000, 1, 0x0060'0000 | kTable | kLarge);
    entry64(0x3000, 2, 0x4000 | kTable);
    entry64(0x4000, 0, 0x1'0000'6000 | kTable);  // above 4 GiB
    EXPECT_EQ(walk(PagingMode::kI386Pae, 0xc020'0010, 0x1fe0)->gpa.raw, 0x60'0010U);
    EXPECT_EQ(walk(PagingMode::kI386Pae, 0xc040'0010, 0x1fe0)->gpa.raw, 0x1'0000'6010U);
}

TEST_F(PageTablesTest, LyingTables) {
    // Every level points at itself: ends after four steps, in the table itself.
    for (std::uint64_t index = 0; index < 512; ++index) {
        entry64(0x1000, index, 0x1000 | kTable);
    }
    EXPECT_EQ(walk(PagingMode::kX86_64Level4, 0xffff'ffff'8123'4567)->gpa.raw, 0x1567U);
    entry64(0x1000, 511, 0x7000'0000 | kTable);  // a table outside RAM
    const auto outside = walk(PagingMode::kX86_64Level4, 0xffff'ffff'8000'0000);
    ASSERT_FALSE(outside.ok());
    EXPECT_NE(outside.error().message().find("not in RAM"), std::string::npos);
    EXPECT_FALSE(walk(PagingMode::kX86_64Level4, 0, 0x000f'ffff'ffff'f000).ok());
}

TEST_F(PageTablesTest, ModeFromControlRegisters) {
    EXPECT_EQ(paging_mode(0x11, 0, 0), PagingMode::kNone);
    EXPECT_EQ(paging_mode(0x8000'0011, 0x10, 0), PagingMode::kI386);
    EXPECT_EQ(paging_mode(0x8000'0011, 0x30, 0x800), PagingMode::kI386Pae);
    EXPECT_EQ(paging_mode(0x8005'0033, 0x6b0, 0xd01), PagingMode::kX86_64Level4);
    EXPECT_EQ(paging_mode(0x8005'0033, 0x16b0, 0xd01), PagingMode::kX86_64Level5);
    EXPECT_EQ(walk(PagingMode::kNone, 0x1234)->gpa.raw, 0x1234U);
}

}  // namespace
}  // namespace jumpback::memory
