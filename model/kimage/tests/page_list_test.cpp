// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sound lists, written as kimage_add_entry() lays them out and read back.
#include "model/kimage/page_list.h"

#include <gtest/gtest.h>

#include "model/kimage/list_writer.h"
#include "model/kimage/tests/list_fixture.h"

namespace jumpback::kimage {
namespace {

using test::frame;
using test::frames;

class PageListTest : public testing::TestWithParam<Word> {
  protected:
    [[nodiscard]] Word word() const { return GetParam(); }
    [[nodiscard]] std::uint64_t fit() const { return words_per_page(word()) - 1; }
    test::ListRam ram_;
};

TEST_P(PageListTest, NothingAddedIsDoneAlone) {
    const auto head = write_list(ram_.ram(), {}, {}, word());
    ASSERT_TRUE(head.ok());
    EXPECT_EQ(*head, kIndDone);
    const auto list = decode(ram_.view(), *head, word());
    ASSERT_TRUE(list.ok()) << list.error().message();
    EXPECT_TRUE(list->moves.empty());
    EXPECT_TRUE(list->list_pages.empty());
    EXPECT_EQ(list->words, 0U);
}

TEST_P(PageListTest, ReadsRunsInOrderAcrossBothStretchesOfRam) {
    const std::uint64_t high = pfn_of(test::kHighStart).raw;
    const std::vector<DestinationRun> runs = {
        {frame(16), {frame(100), frame(17), frame(high + 3)}},  // 17 in place
        {frame(99), {}},                                        // a zero-length segment
        {frame(high + test::kHighFrames - 1), {frame(5)}},
    };
    const std::vector<Gpa> list_frames = {frame(200)};
    const auto head = write_list(ram_.ram(), runs, list_frames, word());
    ASSERT_TRUE(head.ok()) << head.error().message();
    EXPECT_EQ(*head, frame(200).raw | kIndIndirection);
    const auto list = decode(ram_.view(), *head, word());
    ASSERT_TRUE(list.ok()) << list.error().message();
    const std::vector<Move> expected = {{frame(16), frame(100)},
                                        {frame(17), frame(17)},
                                        {frame(18), frame(high + 3)},
                                        {frame(high + test::kHighFrames - 1), frame(5)}};
    EXPECT_EQ(list->moves, expected);
    EXPECT_EQ(list->move_count, 4U);
    EXPECT_EQ(list->list_pages, list_frames);
    EXPECT_EQ(list->words, 8U);  // 3 destinations, 4 sources, DONE
    EXPECT_EQ(list->lone, 1U);
    EXPECT_EQ(entries_of(runs).size(), 7U);
    EXPECT_EQ(entries_of(std::span<const Move>(expected)).size(), 6U);
}

// Entries around the borders of list pages: 511 (1023) fit, the DONE then stands in the last word.
TEST_P(PageListTest, PageBorders) {
    const std::uint64_t high = pfn_of(test::kHighStart).raw;
    for (const std::uint64_t entries : {fit() - 1, fit(), fit() + 1, 2 * fit(), 2 * fit() + 1}) {
        SCOPED_TRACE(std::to_string(entries) + " entries");
        const DestinationRun run{frame(2048), frames(0, entries - 1)};
        const std::vector<Gpa> list_frames = {frame(high + 6), frame(high), frame(high + 3)};
        const auto head = write_list(ram_.ram(), {&run, 1}, list_frames, word());
        ASSERT_TRUE(head.ok()) << head.error().message();
        const auto list = decode(ram_.view(), *head, word());
        ASSERT_TRUE(list.ok()) << list.error().message();
        const std::uint64_t pages = (entries + fit() - 1) / fit();
        EXPECT_EQ(list->list_pages.size(), pages);
        EXPECT_EQ(list->words, entries + pages);  // links but one, and DONE
        ASSERT_EQ(list->moves.size(), entries - 1);
        for (std::uint64_t at = 0; at < list->moves.size(); ++at) {
            ASSERT_EQ(list->moves[at], (Move{frame(2048 + at), frame(at)}));
        }
        const std::uint64_t last = (entries - 1) % fit() + 1;
        EXPECT_EQ(ram_.get(list->list_pages.back(), last, word()), kIndDone);
        if (pages > 1) {
            EXPECT_EQ(ram_.get(list_frames[0], fit(), word()),
                      list_frames[1].raw | kIndIndirection);
        }
    }
}

// The word after a link may be a DESTINATION.
TEST_P(PageListTest, DestinationIsFirstWordOfNewListPage) {
    const std::vector<DestinationRun> runs = {{frame(2048), frames(0, fit() - 1)},
                                              {frame(4000), {frame(2000)}}};
    const std::vector<Gpa> list_frames = {frame(2040), frame(2041)};
    const auto head = write_list(ram_.ram(), runs, list_frames, word());
    ASSERT_TRUE(head.ok());
    EXPECT_EQ(ram_.get(frame(2041), 0, word()), frame(4000).raw | kIndDestination);
    const auto list = decode(ram_.view(), *head, word());
    ASSERT_TRUE(list.ok()) << list.error().message();
    EXPECT_EQ(list->moves.back(), (Move{frame(4000), frame(2000)}));
    EXPECT_EQ(list->lone, 0U);
}

TEST_P(PageListTest, MovesNeedNotBeKept) {
    const DestinationRun run{frame(2048), frames(0, 700)};
    const auto head = write_list(ram_.ram(), {&run, 1}, frames(2030, 3), word());
    DecodeRules rules;
    rules.keep_moves = false;
    const auto list = decode(ram_.view(), *head, word(), rules);
    ASSERT_TRUE(list.ok());
    EXPECT_EQ(list->move_count, 700U);
    EXPECT_TRUE(list->moves.empty());
}

TEST_P(PageListTest, WriterRefusesWhatItCannotWrite) {
    const DestinationRun run{frame(2048), frames(0, fit())};
    EXPECT_FALSE(write_list(ram_.ram(), {&run, 1}, frames(2030, 1), word()).ok());
    EXPECT_TRUE(write_list(ram_.ram(), {&run, 1}, frames(2030, 2), word()).ok());
    const std::vector<Gpa> hole = {frame(2030), frame(test::kLowFrames)};
    EXPECT_FALSE(write_list(ram_.ram(), {&run, 1}, hole, word()).ok());
    const std::vector<Gpa> crooked = {frame(2030), Gpa{0x123}};
    EXPECT_FALSE(write_list(ram_.ram(), {&run, 1}, crooked, word()).ok());
    const DestinationRun far{Gpa{std::uint64_t{1} << 32}, {frame(1)}};
    EXPECT_EQ(write_list(ram_.ram(), {&far, 1}, frames(2030, 1), word()).ok(), word() == Word::k64);
}

INSTANTIATE_TEST_SUITE_P(Words, PageListTest, testing::Values(Word::k32, Word::k64),
                         [](const auto& which) {
                             return which.param == Word::k32 ? "Bits32" : "Bits64";
                         });

}  // namespace
}  // namespace jumpback::kimage
