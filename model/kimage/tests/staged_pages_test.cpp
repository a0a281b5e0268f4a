// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the pages of a staged load go, from frames that are handed out in a given order.
#include "model/kimage/staged_pages.h"

#include <gtest/gtest.h>

#include "model/kimage/tests/list_fixture.h"

namespace jumpback::kimage {
namespace {

using test::frame;

class StagedPagesTest : public testing::Test {
  protected:
    void start(std::initializer_list<std::uint64_t> pfns) {
        std::vector<Allocation> trace;
        for (const std::uint64_t pfn : pfns) {
            trace.push_back({Pfn{pfn}, 0});
        }
        frames_.emplace(trace);
        pages_.emplace(*find_rules("6.12", Arch::kX86_64)->rules, KernelSetup{}, *frames_);
    }
    bool add(std::uint64_t pfn, std::uint64_t count) {
        const Segment segment{0, frame(pfn), count * kPageSize};
        pages_->announce({&segment, 1});
        return pages_->add(segment, number_++);
    }
    void expect(const std::vector<Move>& moves) const { EXPECT_EQ(pages_->moves(), moves); }
    std::optional<TracedFrames> frames_;
    std::optional<StagedPages> pages_;
    std::uint64_t number_ = 0;
};

// 50 holds page 10 when 50 itself becomes a destination: page 10 moves to 60, and 50 stays where it
// is.
TEST_F(StagedPagesTest, ASourceThatBecomesADestinationIsVacated) {
    start({50, 60});
    ASSERT_TRUE(add(10, 1));
    expect({{frame(10), frame(50)}});
    ASSERT_TRUE(add(50, 1));
    expect({{frame(10), frame(60)}, {frame(50), frame(50)}});
    EXPECT_EQ(pages_->evicted(), 1U);
}

// The refuge may be the very destination of the page that moves.
TEST_F(StagedPagesTest, TheRefugeIsItsOwnDestination) {
    start({50, 10});
    ASSERT_TRUE(add(10, 1));
    ASSERT_TRUE(add(50, 1));
    expect({{frame(10), frame(10)}, {frame(50), frame(50)}});
}

// The refuge is a destination of this call too, not added yet: it is vacated in its turn.
TEST_F(StagedPagesTest, ARefugeIsVacatedInItsTurn) {
    start({50, 30, 51, 70});
    ASSERT_TRUE(add(10, 1));  // in 50
    ASSERT_TRUE(add(20, 1));  // in 30
    // Page 50: 10 has to leave for another frame. 51 comes, which nobody has yet: parked. Then 70.
    ASSERT_TRUE(add(50, 2));
    expect({{frame(10), frame(70)},
            {frame(20), frame(30)},
            {frame(50), frame(50)},
            {frame(51), frame(51)}});
    EXPECT_TRUE(pages_->parked().empty());
}

// 51 holds page 20 while 50 and 51 become destinations. Vacating 50 is offered 20: that is page
// 20's own frame, so page 20 goes home and leaves 51, for which page 10 is too early.
TEST_F(StagedPagesTest, AnOldSourceServesUntilItIsWantedItself) {
    start({50, 51, 20, 80});
    ASSERT_TRUE(add(10, 1));
    ASSERT_TRUE(add(20, 1));
    ASSERT_TRUE(add(50, 2));
    expect({{frame(10), frame(80)},
            {frame(20), frame(20)},
            {frame(50), frame(50)},
            {frame(51), frame(51)}});
    EXPECT_EQ(pages_->evicted(), 2U);
}

TEST_F(StagedPagesTest, OverlapsTakeNoFrameAndTheLastWriterWins) {
    start({90, 91, 92});
    ASSERT_TRUE(add(10, 2));
    const Segment over{100, frame(11), 2 * kPageSize};
    pages_->announce({&over, 1});
    ASSERT_TRUE(pages_->add(over, 7));
    EXPECT_EQ(frames_->used(), 3U);
    EXPECT_EQ(pages_->announced(), 3U);
    const std::vector<PageContent> contents = {
        {frame(90), 0, 0, 0}, {frame(91), 7, 0, 100}, {frame(92), 7, kPageSize, 0}};
    EXPECT_EQ(pages_->contents(), contents);
}

TEST_F(StagedPagesTest, RunningOutWhileVacating) {
    start({50});
    ASSERT_TRUE(add(10, 1));
    EXPECT_FALSE(add(50, 1));
}

TEST(RangeSetTest, JoinsAndCounts) {
    RangeSet set;
    EXPECT_EQ(set.add(10, 20), 10U);
    EXPECT_EQ(set.add(30, 40), 10U);
    EXPECT_EQ(set.add(15, 35), 10U);  // joins both
    EXPECT_EQ(set.ranges().size(), 1U);
    EXPECT_EQ(set.add(10, 40), 0U);
    EXPECT_EQ(set.add(40, 41), 1U);  // touches
    EXPECT_EQ(set.add(9, 10), 1U);   // at its other end
    EXPECT_EQ(set.add(5, 5), 0U);
    EXPECT_EQ(set.ranges().size(), 1U);
    EXPECT_FALSE(set.touches(41, 50));
    EXPECT_FALSE(set.touches(0, 9));
    EXPECT_TRUE(set.touches(40, 50));
    EXPECT_TRUE(set.touches(0, 11));
    EXPECT_TRUE(set.touches(20, 21));
}

TEST(FrameMapTest, FindsWhatWasSet) {
    FrameMap map;
    EXPECT_EQ(map.find(0), std::nullopt);
    map.set(0, 7);
    map.set(511, 0);
    map.set(512, 1);
    map.set(std::uint64_t{1} << 40, 9);
    EXPECT_EQ(map.find(0), 7U);
    EXPECT_EQ(map.find(511), 0U);
    EXPECT_EQ(map.find(512), 1U);
    EXPECT_EQ(map.find(513), std::nullopt);
    EXPECT_EQ(map.find(std::uint64_t{1} << 40), 9U);
    map.erase(511);
    map.erase(99999);
    EXPECT_EQ(map.find(511), std::nullopt);
    map.set(0, 8);
    EXPECT_EQ(map.find(0), 8U);
}

}  // namespace
}  // namespace jumpback::kimage
