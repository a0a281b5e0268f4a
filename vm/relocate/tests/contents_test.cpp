// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every word tells where it was made; random numbers are the same everywhere.
#include "vm/relocate/contents.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "vm/relocate/random.h"

namespace jumpback::relocate_check {
namespace {

using Page = std::array<std::byte, kPageSize>;

template <typename Word>
Word word_at(const Page& page, std::uint64_t offset) {
    Word value = 0;
    std::memcpy(&value, page.data() + offset, sizeof value);
    return value;
}

TEST(ContentsTest, EveryWordNamesItsPageAndOffset) {
    const Contents contents(0x123456789abcdef0);
    for (const std::uint64_t number :
         {std::uint64_t{0}, std::uint64_t{7}, Contents::kNumbers - 1}) {
        Page page{};
        contents.fill(page.data(), number);
        for (std::uint64_t at = 0; at < kPageSize; at += 8) {
            const auto origin = contents.origin(word_at<std::uint64_t>(page, at));
            ASSERT_TRUE(origin.has_value()) << at;
            EXPECT_EQ(origin->number, number);
            EXPECT_EQ(origin->offset, at);
        }
    }
}

TEST(ContentsTest, NeitherWordsNorHalvesRepeatWithinACase) {
    const Contents contents(42);
    std::set<std::uint64_t> words;
    std::set<std::uint32_t> halves;
    constexpr std::uint64_t kPages = 80;
    for (std::uint64_t number = 0; number < kPages; ++number) {
        Page page{};
        contents.fill(page.data(), number);
        for (std::uint64_t at = 0; at < kPageSize; at += 8) {
            words.insert(word_at<std::uint64_t>(page, at));
            halves.insert(word_at<std::uint32_t>(page, at));
        }
    }
    EXPECT_EQ(words.size(), kPages * kWordsPerPage);
    EXPECT_EQ(halves.size(), kPages * kWordsPerPage);
}

TEST(ContentsTest, AStretchHasTheSameBytesAsTheWholePageThere) {
    const Contents contents(99);
    Page whole{};
    contents.fill(whole.data(), 5);
    Random random(1, 1);
    for (int round = 0; round < 200; ++round) {
        const std::uint64_t offset = random.below(kPageSize);
        const std::uint64_t length = random.between(1, kPageSize - offset);
        Page page{};
        contents.fill(page.data(), 5, offset, length);
        Page expected{};
        std::memcpy(expected.data() + offset, whole.data() + offset, length);
        ASSERT_EQ(page, expected) << offset << " " << length;
    }
}

TEST(ContentsTest, ForeignWordsComeFromNowhere) {
    const Contents contents(1);
    EXPECT_FALSE(Contents(2).origin(1).has_value() && contents.origin(2).has_value());
    EXPECT_FALSE(contents.origin(0).has_value());
    EXPECT_FALSE(contents.origin(0xffff888000000000).has_value());
}

TEST(RandomTest, TheSameOnEveryHost) {
    Random random(1, 2);
    const std::uint64_t first = random.next();
    Random again(1, 2);
    EXPECT_EQ(again.next(), first);
    EXPECT_NE(Random(1, 3).next(), first);
    EXPECT_NE(Random(2, 2).next(), first);
    for (int round = 0; round < 1000; ++round) {
        EXPECT_LT(random.below(7), 7U);
        const std::uint64_t value = random.between(3, 5);
        EXPECT_TRUE(value >= 3 && value <= 5);
    }
}

}  // namespace
}  // namespace jumpback::relocate_check
