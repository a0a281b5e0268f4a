// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/compare.h"

#include <gtest/gtest.h>

#include <random>

namespace jumpback::memory {
namespace {

constexpr std::uint64_t kPages = 40;

class CompareTest : public testing::Test {
  protected:
    CompareTest() : left_(kPages * kPageSize), right_(kPages * kPageSize) {
        std::mt19937_64 random(20080517);
        for (std::size_t at = 0; at < left_.size(); ++at) {
            left_[at] = static_cast<std::byte>(random());
        }
        right_ = left_;
    }
    [[nodiscard]] static GuestRam view(const std::vector<std::byte>& bytes) {
        return GuestRam::create(bytes, {}).value();
    }
    [[nodiscard]] Comparison compare(const CompareOptions& options = {}) const {
        return compare_ram(view(left_), view(right_), options).value();
    }
    void flip(std::uint64_t at, std::uint8_t bits = 0xff) { right_[at] ^= std::byte{bits}; }

    std::vector<std::byte> left_, right_;
};

TEST_F(CompareTest, EqualMemory) {
    const Comparison out = compare();
    EXPECT_EQ(out.compared, kPages);
    EXPECT_EQ(out.equal, kPages);
    EXPECT_EQ(out.different, 0U);
    EXPECT_TRUE(out.differences.empty());
}

TEST_F(CompareTest, NamesPageByteAndBothValues) {
    flip(17 * kPageSize + 4090);
    flip(17 * kPageSize + 4095);
    const Comparison out = compare();
    EXPECT_EQ(out.different, 1U);
    EXPECT_EQ(out.equal, kPages - 1);
    ASSERT_EQ(out.differences.size(), 1U);
    const PageDifference& difference = out.differences[0];
    EXPECT_EQ(difference.pfn, Pfn{17});
    EXPECT_EQ(difference.offset, 4090U);
    EXPECT_EQ(difference.differing, 2U);
    ASSERT_EQ(difference.expected.size(), 6U);  // to the end of the page, not beyond
    EXPECT_EQ(difference.expected[0], left_[17 * kPageSize + 4090]);
    EXPECT_EQ(difference.found[0], right_[17 * kPageSize + 4090]);
}

TEST_F(CompareTest, EverySingleByteIsSeen) {
    for (const std::uint64_t at :
         {std::uint64_t{0}, kPageSize - 1, kPageSize, 16 * kPageSize - 1, kPages * kPageSize - 1}) {
        flip(at, 1);
        const Comparison out = compare();
        EXPECT_EQ(out.different, 1U) << at;
        EXPECT_EQ(out.differences.at(0).pfn.raw, at / kPageSize);
        flip(at, 1);
    }
}

TEST_F(CompareTest, LimitCutsTheListNotTheCount) {
    for (std::uint64_t page = 0; page < kPages; ++page) {
        flip(page * kPageSize + page);
    }
    const Comparison out = compare({{}, 3});
    EXPECT_EQ(out.different, kPages);
    EXPECT_EQ(out.differences.size(), 3U);
}

TEST_F(CompareTest, RulesExcuseExactlyTheirBytes) {
    const std::vector<ExceptionRange> rules{{Gpa{5 * kPageSize + 100}, Bytes{8}, 1},
                                            {Gpa{6 * kPageSize - 1}, Bytes{2}, 2},
                                            {Gpa{30 * kPageSize}, Bytes{8}, 3}};
    flip(5 * kPageSize + 100);
    flip(5 * kPageSize + 107);
    Comparison out = compare({rules, 64});
    EXPECT_EQ(out.excused, 1U);
    EXPECT_EQ(out.different, 0U);
    EXPECT_EQ(out.rule_pages.at(1), 1U);
    EXPECT_EQ(out.rule_pages.at(2), 0U);
    EXPECT_EQ(out.rule_pages.at(3), 0U);  // unused, and said so

    flip(6 * kPageSize - 1);  // across a page border
    flip(6 * kPageSize);
    out = compare({rules, 64});
    EXPECT_EQ(out.excused, 2U);
    EXPECT_EQ(out.rule_pages.at(2), 2U);

    flip(5 * kPageSize + 108);  // one past the range
    out = compare({rules, 64});
    EXPECT_EQ(out.different, 1U);
    EXPECT_EQ(out.differences.at(0).offset, 108U);
    EXPECT_EQ(out.differences.at(0).differing, 1U);  // the excused bytes are not counted
}

TEST_F(CompareTest, MaskExcusesBitsOnly) {
    const std::vector<ExceptionRange> rules{{Gpa{kPageSize}, Bytes{kPageSize}, 7, 0x20},
                                            {Gpa{kPageSize}, Bytes{8}, 8, 0x40}};
    flip(kPageSize + 8, 0x20);
    EXPECT_EQ(compare({rules, 64}).excused, 1U);
    flip(kPageSize + 4, 0x60);  // by both rules together
    EXPECT_EQ(compare({rules, 64}).excused, 1U);
    flip(kPageSize + 16, 0x40);
    EXPECT_EQ(compare({rules, 64}).different, 1U);
}

TEST_F(CompareTest, RangeAtTheEndOfTheAddressSpace) {
    const std::vector<ExceptionRange> rules{{Gpa{kPageSize}, Bytes{~std::uint64_t{0}}, 1}};
    flip(3 * kPageSize);
    EXPECT_EQ(compare({rules, 64}).excused, 1U);
    flip(5);
    EXPECT_EQ(compare({rules, 64}).different, 1U);
}

TEST_F(CompareTest, AgreesWithByteByByteCounting) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937_64 random(seed);
        right_ = left_;
        for (std::uint64_t count = random() % 200; count > 0; --count) {
            flip(random() % right_.size(), static_cast<std::uint8_t>(1 + random() % 255));
        }
        std::map<std::uint64_t, std::uint32_t> naive;
        for (std::size_t at = 0; at < left_.size(); ++at) {
            if (left_[at] != right_[at]) {
                ++naive[at / kPageSize];
            }
        }
        const Comparison out = compare({{}, kPages});
        EXPECT_EQ(out.different, naive.size());
        for (const PageDifference& difference : out.differences) {
            EXPECT_EQ(difference.differing, naive.at(difference.pfn.raw));
        }
    }
}

TEST_F(CompareTest, DifferentMachinesAreRefused) {
    const std::vector<std::byte> smaller(kPageSize);
    EXPECT_FALSE(compare_ram(view(left_), view(smaller), {}).ok());
}

TEST_F(CompareTest, ImageAgainstRam) {
    const std::vector<std::uint64_t> pfns{3, 9, 20};
    std::vector<std::byte> data;
    for (const std::uint64_t pfn : {3U, 20U}) {
        data.insert(data.end(), left_.begin() + static_cast<std::ptrdiff_t>(pfn * kPageSize),
                    left_.begin() + static_cast<std::ptrdiff_t>((pfn + 1) * kPageSize));
    }
    std::fill_n(right_.begin() + 9 * kPageSize, kPageSize, std::byte{0});
    const std::vector<std::uint8_t> zero{0, 1, 0};
    const GuestRam ram = view(right_);
    EXPECT_EQ(compare_image({pfns, data, zero}, ram, {}).value().equal, 3U);

    // With a page for the zero entry as well.
    std::vector<std::byte> full = data;
    full.insert(full.begin() + kPageSize, kPageSize, std::byte{0xee});  // not looked at
    EXPECT_EQ(compare_image({pfns, full, zero}, ram, {}).value().equal, 3U);

    flip(9 * kPageSize + 7);
    const Comparison broken = compare_image({pfns, data, zero}, ram, {}).value();
    EXPECT_EQ(broken.different, 1U);
    EXPECT_EQ(broken.differences.at(0).pfn, Pfn{9});
    EXPECT_EQ(broken.differences.at(0).offset, 7U);

    // Two pages swapped: same sum, not the same pages.
    std::swap_ranges(data.begin(), data.begin() + kPageSize, data.begin() + kPageSize);
    EXPECT_EQ(compare_image({pfns, data, zero}, ram, {}).value().different, 3U);
}

TEST_F(CompareTest, ImageThatDoesNotFit) {
    const GuestRam ram = view(right_);
    const std::vector<std::uint64_t> pfns{1, 2};
    const std::vector<std::byte> data(2 * kPageSize);
    const std::vector<std::uint8_t> zero{0};
    EXPECT_FALSE(compare_image({pfns, data, zero}, ram, {}).ok());
    EXPECT_FALSE(compare_image({pfns, std::span(data).first(kPageSize), {}}, ram, {}).ok());
    const std::vector<std::uint64_t> outside{1, kPages};
    const auto result = compare_image({outside, data, {}}, ram, {});
    ASSERT_FALSE(result.ok());
    EXPECT_NE(result.error().message().find("0x28"), std::string::npos);
}

TEST_F(CompareTest, FrameLists) {
    const GuestRam ram = view(right_);
    std::copy_n(right_.begin(), kPageSize, right_.begin() + 8 * kPageSize);
    const std::vector<std::uint64_t> originals{0, 1};
    const std::vector<std::uint64_t> copies{8, 9};
    const Comparison out = compare_frames(ram, originals, copies, {}).value();
    EXPECT_EQ(out.equal, 1U);
    EXPECT_EQ(out.differences.at(0).pfn, Pfn{1});
    EXPECT_FALSE(compare_frames(ram, originals, std::span(copies).first(1), {}).ok());
    const std::vector<std::uint64_t> outside{8, 4000};
    EXPECT_FALSE(compare_frames(ram, originals, outside, {}).ok());
}

}  // namespace
}  // namespace jumpback::memory
