// SPDX-License-Identifier: GPL-2.0-or-later
//
// The page list that a load builds, from frames that are handed out in a given order: each thing
// that kimage_alloc_page() may do with a frame, by itself.
#include "model/kimage/builder.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "model/kimage/page_list.h"
#include "model/kimage/tests/frame_pool.h"
#include "model/kimage/tests/list_fixture.h"

namespace jumpback::kimage {
namespace {

using test::frame;
using test::from;
using test::to;

const LoadRules& rules_of(const char* release, Arch arch = Arch::kX86_64) {
    return *find_rules(release, arch).value().rules;
}

// Order 0, but where said.
std::vector<Allocation> pages(std::initializer_list<std::uint64_t> pfns) {
    std::vector<Allocation> trace;
    for (const std::uint64_t pfn : pfns) {
        trace.push_back({Pfn{pfn}, 0});
    }
    return trace;
}

class BuilderTest : public testing::TestWithParam<Lookup> {
  protected:
    // Frames 900 and 901 are the control code page and the swap page of 6.12.
    [[nodiscard]] BuildResult run(std::vector<Segment> segments,
                                  std::initializer_list<std::uint64_t> then,
                                  const LoadRules& rules = rules_of("6.12"),
                                  std::uint64_t lowmem_end = ~std::uint64_t{0}) {
        std::vector<Allocation> trace = pages({900, 901});
        const std::vector<Allocation> rest = pages(then);
        trace.insert(trace.end(), rest.begin(), rest.end());
        segments_ = std::move(segments);
        BuildPlan plan;
        plan.rules = &rules;
        plan.segments = segments_;
        plan.lookup = GetParam();
        TracedFrames frames(trace, Pfn{lowmem_end});
        BuildResult result = build(plan, frames);
        EXPECT_EQ(frames.misfit(), std::nullopt);
        used_ = frames.used();
        return result;
    }
    static std::vector<std::uint64_t> raw(std::initializer_list<Entry> entries) {
        std::vector<std::uint64_t> words;
        for (const Entry entry : entries) {
            words.push_back(entry.raw);
        }
        return words;
    }
    std::vector<Segment> segments_;
    std::size_t used_ = 0;
};

Segment segment(std::uint64_t pfn, std::uint64_t count) {
    return {0, frame(pfn), count * kPageSize};
}

TEST_P(BuilderTest, AnEasyLoad) {
    const BuildResult built =
        run({segment(16, 2), segment(40, 0), segment(50, 1)}, {800, 700, 701, 702});
    ASSERT_EQ(built.error, 0) << built.text;
    EXPECT_EQ(built.image.entries, raw({to(16), from(700), from(701), to(40), to(50), from(702)}));
    EXPECT_EQ(built.image.list_pages, std::vector<Gpa>{frame(800)});
    EXPECT_EQ(built.image.head(), frame(800).raw | kIndIndirection);
    EXPECT_EQ(built.image.list_page_words(0).back(), kIndDone);
    EXPECT_EQ(built.image.control_code_page, frame(900));
    EXPECT_EQ(built.image.swap_page, frame(901));
    EXPECT_EQ(used_, 6U);
    const std::vector<Move> moves = {
        {frame(16), frame(700)}, {frame(17), frame(701)}, {frame(50), frame(702)}};
    EXPECT_EQ(built.image.moves(), moves);
}

TEST_P(BuilderTest, AFrameThatIsItsOwnDestination) {
    const BuildResult built = run({segment(16, 2)}, {800, 16, 17});
    EXPECT_EQ(built.image.entries, raw({to(16), from(16), from(17)}));
    EXPECT_EQ(built.cost.moved, 0U);
}

// 17 is asked for by nobody yet: it is parked, and taken when its destination comes.
TEST_P(BuilderTest, AParkedFrameIsTakenLater) {
    const BuildResult built = run({segment(16, 3)}, {800, 17, 700, 701});
    EXPECT_EQ(built.image.entries, raw({to(16), from(700), from(17), from(701)}));
    EXPECT_TRUE(built.image.dest_pages.empty());
    EXPECT_EQ(used_, 6U);
}

// 16 comes when its page is loaded already (into 700): that entry gets 16, and 700 is used anew.
TEST_P(BuilderTest, AnEarlierEntryMovesToItsOwnDestination) {
    const BuildResult built = run({segment(16, 3)}, {800, 700, 16, 701});
    EXPECT_EQ(built.image.entries, raw({to(16), from(16), from(700), from(701)}));
    EXPECT_EQ(built.cost.moved, 1U);
}

// The same while a list page is asked for: the list page becomes what the entry had.
TEST_P(BuilderTest, AListPageMayBeAnOldSource) {
    // 511 entries fill the first list page: DESTINATION and 510 sources, in frames 1000 to 1509.
    std::vector<Allocation> trace = pages({900, 901, 800});
    for (std::uint64_t at = 0; at < 510; ++at) {
        trace.push_back({Pfn{1000 + at}, 0});
    }
    for (const std::uint64_t pfn : {700U, 2000U, 2511U, 801U, 701U}) {
        trace.push_back({Pfn{pfn}, 0});
    }
    segments_ = {segment(2000, 512)};
    BuildPlan plan;
    plan.rules = &rules_of("6.12");
    plan.segments = segments_;
    plan.lookup = GetParam();
    TracedFrames frames(trace);
    const BuildResult built = build(plan, frames);
    ASSERT_EQ(built.error, 0) << built.text;
    // Page 510 gets 700. For its entry a list page is needed: 2000 belongs to page 0, whose old
    // source 1000 becomes the list page. Then 2511 is the last page's own frame.
    const std::vector<Gpa> list_pages = {frame(800), frame(1000)};
    EXPECT_EQ(built.image.list_pages, list_pages);
    EXPECT_EQ(built.image.entries[1], from(2000).raw);
    EXPECT_EQ(built.image.entries[511], from(700).raw);
    EXPECT_EQ(built.image.entries[512], from(2511).raw);
    EXPECT_EQ(built.image.list_page_words(0).size(), 512U);
    EXPECT_EQ(built.image.list_page_words(0).back(), frame(1000).raw | kIndIndirection);
    const std::vector<std::uint64_t> second = {from(700).raw, from(2511).raw, kIndDone};
    EXPECT_EQ(built.image.list_page_words(1), second);
    EXPECT_EQ(frames.used(), trace.size() - 2);
}

// Destination 16 is about to get its entry, but has none yet when the list page is asked for and
// frame 16 comes: parked for good.
TEST_P(BuilderTest, APageParkedInVainStaysWithTheImage) {
    std::vector<Allocation> trace = pages({900, 901, 800});
    for (std::uint64_t at = 0; at < 510; ++at) {
        trace.push_back({Pfn{1000 + at}, 0});
    }
    for (const std::uint64_t pfn : {700U, 16U, 801U}) {
        trace.push_back({Pfn{pfn}, 0});
    }
    segments_ = {segment(2000, 510), segment(16, 1)};
    // The DESTINATION word of the second segment takes the list page's last free word: none, so it
    // asks for the list page first, with no page of 16 allocated.
    BuildPlan plan;
    plan.rules = &rules_of("6.12");
    plan.segments = segments_;
    plan.lookup = GetParam();
    TracedFrames frames(trace);
    BuildResult built = build(plan, frames);
    ASSERT_EQ(built.error, 0) << built.text;
    EXPECT_EQ(built.image.list_pages.back(), frame(700));
    EXPECT_EQ(built.image.entries.back(), from(16).raw);
    EXPECT_TRUE(built.image.dest_pages.empty());

    segments_ = {segment(2000, 509), segment(16, 1)};
    trace = pages({900, 901, 800});
    for (std::uint64_t at = 0; at < 509; ++at) {
        trace.push_back({Pfn{1000 + at}, 0});
    }
    for (const std::uint64_t pfn : {700U, 16U, 801U}) {
        trace.push_back({Pfn{pfn}, 0});
    }
    plan.segments = segments_;
    TracedFrames again(trace);
    built = build(plan, again);
    ASSERT_EQ(built.error, 0) << built.text;
    EXPECT_EQ(built.image.entries.back(), from(700).raw);
    EXPECT_EQ(built.image.list_pages.back(), frame(801));
    EXPECT_EQ(built.image.dest_pages, std::vector<Gpa>{frame(16)});
}

TEST_P(BuilderTest, FramesAboveTheSourceLimitAreUnusable) {
    const std::uint64_t last = ((std::uint64_t{1} << 46) - 1) >> kPageShift;
    const BuildResult built = run({segment(16, 2)}, {800, last + 1, last, 700});
    ASSERT_EQ(built.error, 0) << built.text;
    EXPECT_EQ(built.image.entries, raw({to(16), from(last), from(700)}));
    EXPECT_EQ(built.image.unusable_pages, std::vector<Gpa>{frame(last + 1)});
}

// i386: a list page needs a mapped frame. The old source is high memory, so it is freed and the
// next frame is asked for.
TEST_P(BuilderTest, AHighOldSourceIsNoListPage) {
    std::vector<Allocation> trace = pages({900, 901, 800});
    for (std::uint64_t at = 0; at < 1022; ++at) {
        trace.push_back({Pfn{5000 + at}, 0});
    }
    for (const std::uint64_t pfn : {5000U + 1022U, 2000U, 801U}) {
        trace.push_back({Pfn{pfn}, 0});
    }
    segments_ = {segment(2000, 1023)};
    BuildPlan plan;
    plan.rules = &rules_of("6.1", Arch::kI386);
    plan.segments = segments_;
    plan.lookup = GetParam();
    TracedFrames frames(trace, Pfn{4000});
    const BuildResult built = build(plan, frames);
    ASSERT_EQ(built.error, 0) << built.text;
    EXPECT_EQ(built.image.word, Word::k32);
    EXPECT_EQ(built.image.entries[1], from(2000).raw);
    const std::vector<Gpa> list_pages = {frame(800), frame(801)};
    EXPECT_EQ(built.image.list_pages, list_pages);
    EXPECT_EQ(built.cost.moved, 1U);
}

TEST_P(BuilderTest, RunningOutIsTold) {
    EXPECT_EQ(run({segment(16, 2)}, {}).error, ENOMEM);
    EXPECT_NE(run({segment(16, 2)}, {}).text.find("list page 0"), std::string::npos);
    EXPECT_NE(run({segment(16, 2)}, {800, 700}).text.find("0x11000"), std::string::npos);
    EXPECT_EQ(run({segment(16, 2)}, {800, 700, 701}).error, 0);
}

// kimage_is_destination_range(): the frames beside a segment are free, its first and last are not.
TEST_P(BuilderTest, BordersOfADestination) {
    for (const char* release : {"6.1", "6.12"}) {
        SCOPED_TRACE(release);
        const LoadRules& rules = rules_of(release, Arch::kI386);  // one control page in both
        EXPECT_EQ(run({segment(16, 2)}, {800, 15, 18}, rules).image.entries,
                  raw({to(16), from(15), from(18)}));
        EXPECT_EQ(run({segment(16, 2)}, {800, 17, 700}, rules).image.entries,
                  raw({to(16), from(700), from(17)}));
        EXPECT_EQ(run({segment(20, 1), segment(16, 2)}, {800, 16, 700, 701}, rules).image.entries,
                  raw({to(20), from(700), to(16), from(16), from(701)}));
    }
}

// Control pages: rejected while they touch a destination, given back afterwards.
TEST_P(BuilderTest, ControlPagesKeepClearOfDestinations) {
    const LoadRules& old = rules_of("6.1");
    segments_ = {segment(17, 2)};
    BuildPlan plan;
    plan.rules = &old;
    plan.segments = segments_;
    plan.lookup = GetParam();
    plan.page_tables = [](std::span<const Segment>) { return 2; };
    // Two pages together: of 16 and 17 the second is a destination, of 18 and 19 the first.
    std::vector<Allocation> trace = {{Pfn{16}, 1}, {Pfn{18}, 1}, {Pfn{20}, 1}, {Pfn{17}, 0},
                                     {Pfn{16}, 0}, {Pfn{18}, 0}, {Pfn{19}, 0}, {Pfn{22}, 0}};
    for (const Allocation& rest : pages({800, 700, 701})) {
        trace.push_back(rest);
    }
    TracedFrames frames(trace);
    const BuildResult built = build(plan, frames);
    ASSERT_EQ(built.error, 0) << built.text;
    EXPECT_EQ(built.image.control_code_page, frame(20));
    EXPECT_EQ(built.image.control_order, 1U);
    EXPECT_EQ(built.image.swap_page, frame(16));
    const std::vector<Gpa> tables = {frame(19), frame(22)};
    EXPECT_EQ(built.image.page_tables, tables);
    EXPECT_EQ(built.cost.frames, trace.size());
}

TEST_P(BuilderTest, ControlPagesKeepBelowTheirLimit) {
    segments_ = {segment(16, 1)};
    BuildPlan plan;
    plan.rules = &rules_of("7.3", Arch::kI386);
    plan.segments = segments_;
    plan.lookup = GetParam();
    const std::uint64_t limit = 0xc000'0000 >> kPageShift;
    TracedFrames frames(pages({limit, limit - 1, limit - 2, 901, 800, 700}));
    const BuildResult built = build(plan, frames);
    ASSERT_EQ(built.error, 0) << built.text;
    // epfn, one past the frame, has to be below the limit too
    EXPECT_EQ(built.image.control_code_page, frame(limit - 2));
}

// What 6.12 made of it: memsz 0 at address 0 ends at ULONG_MAX, and no frame is left to be a
// control page. kexec --load-jump-back-helper passes just this segment.
TEST_P(BuilderTest, AnEmptySegmentAtZeroCoversAllMemorySince6_12) {
    for (const LoadRules& rules : load_rules()) {
        SCOPED_TRACE(text_of(rules.version));
        segments_ = {{0, Gpa{0}, 0}};
        BuildPlan plan;
        plan.rules = &rules;
        plan.segments = segments_;
        plan.lookup = GetParam();
        test::FramePool pool(100, 200, 1);
        const BuildResult built = build(plan, pool);
        EXPECT_EQ(built.error, rules.inclusive_ranges ? ENOMEM : 0);
        EXPECT_EQ(pool.log().size(), rules.inclusive_ranges ? 100U : 3U);
        if (built.error == 0) {
            EXPECT_EQ(built.image.entries, std::vector<std::uint64_t>{kIndDestination});
        }
        LoadRules mended = rules;
        mended.skips_empty_segments = true;
        plan.rules = &mended;
        test::FramePool patched(100, 200, 1);
        EXPECT_EQ(build(plan, patched).error, 0);
        EXPECT_EQ(patched.log().size(), 3U);
        plan.rules = &rules;
        segments_ = {{0, frame(150), 0}};  // anywhere else it is harmless
        test::FramePool other(100, 200, 1);
        plan.segments = segments_;
        EXPECT_EQ(build(plan, other).error, 0);
    }
}

// An empty segment is in the way where it lies inside a block, and nowhere else.
TEST_P(BuilderTest, AnEmptySegmentInsideAControlBlock) {
    segments_ = {segment(17, 0), segment(18, 0)};
    BuildPlan plan;
    plan.rules = &rules_of("5.10");
    plan.segments = segments_;
    plan.lookup = GetParam();
    TracedFrames frames({{Pfn{16}, 1}, {Pfn{18}, 1}, {Pfn{17}, 0}, {Pfn{20}, 0}});
    const BuildResult built = build(plan, frames);
    ASSERT_EQ(built.error, 0) << built.text;
    EXPECT_EQ(built.image.control_code_page, frame(18));
    EXPECT_EQ(built.image.swap_page, frame(17));
}

TEST_P(BuilderTest, AFailedLoadGivesEverythingBack) {
    segments_ = {segment(100, 60)};
    BuildPlan plan;
    plan.rules = &rules_of("6.12");
    plan.segments = segments_;
    plan.lookup = GetParam();
    for (std::uint64_t frames = 1; frames < 70; ++frames) {
        test::FramePool pool(120, 120 + frames, 7);
        const BuildResult built = build(plan, pool);
        if (built.error != 0) {
            EXPECT_EQ(pool.free(), frames);
        } else {
            EXPECT_GT(frames, 62U);
            release(built.image, pool);
            EXPECT_EQ(pool.free(), frames);
        }
        EXPECT_EQ(pool.faults(), 0U);
    }
}

INSTANTIATE_TEST_SUITE_P(Lookups, BuilderTest, testing::Values(Lookup::kLinear, Lookup::kHashed),
                         [](const auto& which) {
                             return which.param == Lookup::kLinear ? "Linear" : "Hashed";
                         });

TEST(TracedFramesTest, TellsAnAllocationOfAnotherOrder) {
    TracedFrames frames({{Pfn{1}, 0}, {Pfn{2}, 1}});
    EXPECT_EQ(frames.next({0, true}), Pfn{1});
    EXPECT_EQ(frames.next({0, true}), std::nullopt);
    EXPECT_EQ(frames.misfit(), 1U);
    EXPECT_EQ(frames.used(), 1U);
}

}  // namespace
}  // namespace jumpback::kimage
