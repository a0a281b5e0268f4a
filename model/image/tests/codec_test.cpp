// SPDX-License-Identifier: GPL-2.0-or-later
//
// A unit can be compressed to any length between its best and its plain size.
#include "model/image/codec.h"

#include "model/image/tests/image_fixture.h"

namespace jumpback::swsusp::testing {
namespace {

class Fit : public ::testing::TestWithParam<Compression> {};

TEST_P(Fit, EveryPageCountAboveTheBest) {
    std::mt19937_64 random(seed());
    for (int round = 0; round < 3; ++round) {
        Octets unit(kUnitBytes);
        for (std::size_t at = 0; at < unit.size(); at += kPageSize) {
            fill_page(ByteSpan(unit).subspan(at, kPageSize), random);
        }
        const std::size_t plain = compress(GetParam(), unit).size();
        for (std::size_t pages = plain / kPageSize + 1; pages <= kUnitPages; ++pages) {
            const auto packed =
                compress_to_fit(GetParam(), unit, (pages - 1) * kPageSize, pages * kPageSize);
            ASSERT_TRUE(packed.ok()) << pages << ": " << packed.error().message();
            EXPECT_GE(packed->size(), (pages - 1) * kPageSize);
            EXPECT_LE(packed->size(), pages * kPageSize);
            Octets back(kUnitBytes);
            const auto written = decompress(GetParam(), *packed, back);
            ASSERT_TRUE(written.ok()) << pages << ": " << written.error().message();
            EXPECT_EQ(*written, kUnitBytes);
            EXPECT_EQ(back, unit);
        }
        const auto small = compress_to_fit(GetParam(), unit, 1, 100);
        ASSERT_FALSE(small.ok());
        EXPECT_NE(small.error().what.find("at best, expected at most 100"), std::string::npos);
    }
}

TEST_P(Fit, ZerosFillAWholeUnit) {
    const Octets unit(kUnitBytes);
    const auto packed = compress_to_fit(GetParam(), unit, 60000, 64000);
    ASSERT_TRUE(packed.ok()) << packed.error().message();
    Octets back(kUnitBytes, std::byte{1});
    ASSERT_TRUE(decompress(GetParam(), *packed, back).ok());
    EXPECT_EQ(back, unit);
}

INSTANTIATE_TEST_SUITE_P(Codecs, Fit, ::testing::Values(Compression::lzo, Compression::lz4),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

}  // namespace
}  // namespace jumpback::swsusp::testing
