// SPDX-License-Identifier: GPL-2.0-or-later
//
// Staged loading: every order of calls up to a length, what a failed call leaves, and random loads
// in random stages with overlapping segments.
#include "model/kimage/staged_load.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "model/kimage/tests/frame_pool.h"
#include "model/kimage/tests/list_fixture.h"
#include "model/kimage/tests/load_fixture.h"

namespace jumpback::kimage {
namespace {

using test::frame;
using test::FramePool;

const LoadRules& rules_of(const char* release, Arch arch = Arch::kX86_64) {
    return *find_rules(release, arch).value().rules;
}

LoadConditions conditions(std::uint64_t ram_pages) {
    LoadConditions out;
    out.totalram_pages = ram_pages;
    return out;
}

Segment segment(std::uint64_t pfn, std::uint64_t count) {
    return {0, frame(pfn), count * kPageSize};
}

class StagedLoadTest : public testing::Test {
  protected:
    StageResult call(Stage stage, const std::vector<Segment>& segments, std::uint64_t flags = 0,
                     std::uint64_t entry = 0) {
        return loader_.load(conditions_,
                            {entry, flags | static_cast<std::uint64_t>(stage), segments});
    }
    void expect(const StageResult& result, std::int64_t value, Refusal refusal, bool dropped) {
        EXPECT_EQ(result.result, value) << result.text;
        EXPECT_EQ(name_of(result.refusal), name_of(refusal)) << result.text;
        EXPECT_EQ(result.dropped, dropped);
        EXPECT_EQ(result.ok(), value == 0);
        EXPECT_EQ(result.text.empty(), value == 0);
    }
    FramePool pool_{100, 400, 5};
    LoadConditions conditions_ = conditions(400);
    StagedLoader loader_{rules_of("7.3"), {}, pool_};
};

TEST_F(StagedLoadTest, StartMidFinal) {
    expect(call(Stage::kStart, {segment(10, 2)}), 0, Refusal::kNone, false);
    EXPECT_TRUE(loader_.is_open());
    EXPECT_FALSE(loader_.installed());
    EXPECT_EQ(loader_.pgmap().state, PgmapState::kPending);
    expect(call(Stage::kMid, {segment(20, 1), segment(12, 1)}), 0, Refusal::kNone, false);
    expect(call(Stage::kFinal, {}, 0, 0x1234), 0, Refusal::kNone, false);
    EXPECT_FALSE(loader_.is_open());
    ASSERT_TRUE(loader_.installed());
    const Kimage& image = loader_.installed()->image;
    EXPECT_EQ(loader_.installed()->entry, 0x1234U);
    EXPECT_FALSE(loader_.installed()->preserve_context);
    // 10 to 12 is one stretch by now, and sorted before 20.
    ASSERT_EQ(image.entries.size(), 6U);
    EXPECT_EQ(image.entries[0], test::to(10).raw);
    EXPECT_EQ(image.entries[4], test::to(20).raw);
    EXPECT_EQ(loader_.pgmap().state, PgmapState::kLoaded);
    EXPECT_EQ(loader_.pgmap().pages(), 4U);
}

TEST_F(StagedLoadTest, RefusalsAreNamed) {
    expect(call(Stage::kMid, {segment(10, 1)}), -EINVAL, Refusal::kNotStarted, false);
    expect(call(Stage::kFinal, {segment(10, 1)}), -EINVAL, Refusal::kNotStarted, false);
    expect(call(Stage::kStart, {}, kKexecPreserveContext), 0, Refusal::kNone, false);
    expect(call(Stage::kFinal, {}, kKexecPreserveContext), -EINVAL, Refusal::kNothingLoaded, false);
    expect(call(Stage::kStart, {segment(10, 1)}), -EBUSY, Refusal::kAlreadyStarted, false);
    expect(call(Stage::kFull, {segment(10, 1)}), -EBUSY, Refusal::kFullWhileOpen, false);
    expect(call(Stage::kMid, {segment(10, 1)}), -EINVAL, Refusal::kOtherFlags, false);
    expect(call(Stage::kMid, {segment(10, 1)}, kKexecOnCrash), -EINVAL, Refusal::kCrashStaged,
           false);
    EXPECT_TRUE(loader_.is_open());
    // Today's checks of the call itself leave the load alone ...
    expect(call(Stage::kMid, {segment(10, 1)}, 0x8000), -EINVAL, Refusal::kCheck, false);
    conditions_.locked = true;
    expect(call(Stage::kMid, {segment(10, 1)}), -EBUSY, Refusal::kCheck, false);
    conditions_.locked = false;
    expect(call(Stage::kMid, std::vector<Segment>(17, segment(10, 1)), kKexecPreserveContext),
           -EINVAL, Refusal::kCheck, false);
    EXPECT_TRUE(loader_.is_open());
    // ... those of its segments do not.
    expect(call(Stage::kMid, {{0, Gpa{0x10'0001}, 0x1000}}, kKexecPreserveContext), -EADDRNOTAVAIL,
           Refusal::kCheck, true);
    EXPECT_FALSE(loader_.is_open());
    EXPECT_EQ(pool_.free(), 300U);
}

TEST_F(StagedLoadTest, ChecksOfSegments) {
    ASSERT_TRUE(call(Stage::kStart, {segment(10, 1)}).ok());
    const StageResult larger = call(Stage::kMid, {{0x1001, frame(20), 0x1000}});
    expect(larger, -EINVAL, Refusal::kCheck, true);
    EXPECT_EQ(larger.verdict.check, Check::kBufferLarger);
    // As many pages as RAM has may be asked for; overlaps count once.
    ASSERT_TRUE(call(Stage::kStart, {segment(120, 200), segment(130, 200)}).ok());
    expect(call(Stage::kMid, {segment(500, 191)}), -EINVAL, Refusal::kBeyondRam, true);
    ASSERT_TRUE(call(Stage::kStart, {segment(120, 200), segment(130, 200)}).ok());
    expect(call(Stage::kMid, {segment(500, 190)}), -ENOMEM, Refusal::kNoMemory, true);
    EXPECT_EQ(pool_.free(), 300U);
    // Half of RAM is no limit, which it is for a call of old.
    EXPECT_EQ(call(Stage::kFull, {segment(120, 201)}).verdict.check, Check::kSegmentPages);
    ASSERT_TRUE(call(Stage::kStart, {segment(120, 240)}).ok());
    ASSERT_TRUE(call(Stage::kFinal, {}).ok());
    EXPECT_EQ(loader_.installed()->image.moves().size(), 240U);
}

TEST_F(StagedLoadTest, OutOfMemoryDropsTheLoadAndKeepsTheInstalledImage) {
    ASSERT_TRUE(call(Stage::kFull, {segment(10, 1)}, 0, 77).ok());
    const std::size_t free = pool_.free();
    ASSERT_TRUE(call(Stage::kStart, {segment(10, 50)}).ok());
    expect(call(Stage::kMid, {segment(1000, 300)}), -ENOMEM, Refusal::kNoMemory, true);
    EXPECT_EQ(pool_.free(), free);
    ASSERT_TRUE(loader_.installed());
    EXPECT_EQ(loader_.installed()->entry, 77U);
    // Enough for the pages, not for the control pages: the same.
    ASSERT_TRUE(call(Stage::kStart, {segment(1000, free)}).ok());
    EXPECT_EQ(pool_.free(), 0U);
    expect(call(Stage::kFinal, {}), -ENOMEM, Refusal::kNoMemory, true);
    EXPECT_EQ(pool_.free(), free);
    // Enough for those, and not for the list pages.
    ASSERT_TRUE(call(Stage::kStart, {segment(1000, free - 2)}).ok());
    expect(call(Stage::kFinal, {}), -ENOMEM, Refusal::kNoMemory, true);
    EXPECT_EQ(pool_.free(), free);
    ASSERT_TRUE(call(Stage::kStart, {segment(1000, free - 3)}).ok());
    expect(call(Stage::kFinal, {}), 0, Refusal::kNone, false);
    EXPECT_EQ(pool_.faults(), 0U);
}

TEST_F(StagedLoadTest, CrashImagesStayOutOfIt) {
    ASSERT_TRUE(call(Stage::kStart, {segment(10, 1)}).ok());
    conditions_.crash = {frame(1000), Gpa{frame(1100).raw - 1}};
    expect(call(Stage::kFull, {segment(1000, 1)}, kKexecOnCrash, frame(1000).raw), 0,
           Refusal::kNone, false);
    expect(call(Stage::kFull, {}, kKexecOnCrash), 0, Refusal::kNone, false);
    EXPECT_TRUE(loader_.is_open());
    EXPECT_FALSE(loader_.installed());
}

TEST_F(StagedLoadTest, EmptySegmentsMakeAnEmptyList) {
    ASSERT_TRUE(call(Stage::kStart, {segment(0, 0)}, kKexecPreserveContext).ok());
    ASSERT_TRUE(call(Stage::kFinal, {}, kKexecPreserveContext, 0x8'0000).ok());
    EXPECT_EQ(loader_.installed()->image.head(), kIndDone);
    EXPECT_TRUE(loader_.installed()->preserve_context);
    EXPECT_EQ(loader_.pgmap().pages(), 0U);
}

// What stages and results follow from the documented rules, told by another hand than the loader:
// a load is open from a good start to a good final, or to a call in order that fails.
class Expected {
  public:
    struct Answer {
        Refusal refusal;
        bool dropped;
    };
    Answer call(char what, bool good, unsigned number) {
        const bool was_open = open_;
        switch (what) {
            case 's':
                if (was_open) {
                    return {Refusal::kAlreadyStarted, false};
                }
                open_ = good;
                return answer(good, !good);
            case 'm':
            case 'f':
                if (!was_open) {
                    return {Refusal::kNotStarted, false};
                }
                open_ = good && what == 'm';
                if (good && what == 'f') {
                    installed = number;
                }
                return answer(good, !good);
            case 'F':
                if (was_open) {
                    return {Refusal::kFullWhileOpen, false};
                }
                if (good) {
                    installed = number;
                }
                return answer(good, false);
            default:
                open_ = false;
                installed = 0;
                return {Refusal::kNone, false};
        }
    }
    [[nodiscard]] bool open() const { return open_; }
    unsigned installed = 0;  // number of the call that installed the image; 0: none

  private:
    static Answer answer(bool good, bool dropped) {
        return {good ? Refusal::kNone : Refusal::kCheck, dropped};
    }
    bool open_ = false;
};

TEST(StagedSequencesTest, AllUpToFiveCalls) {
    const std::string calls = "smfFu";
    const unsigned kinds = 9;  // good and bad ones of the first four, and unload
    constexpr unsigned kLength = 5;
    std::uint64_t sequences = 1;
    for (unsigned at = 0; at < kLength; ++at) {
        sequences *= kinds;
    }
    const LoadRules& rules = rules_of("6.12");
    for (std::uint64_t sequence = 0; sequence < sequences; ++sequence) {
        FramePool pool(100, 140, 1);
        StagedLoader loader(rules, {}, pool);
        Expected expected;
        std::string story;
        std::uint64_t rest = sequence;
        for (unsigned number = 1; number <= kLength; ++number, rest /= kinds) {
            const char what = calls[rest % kinds / 2];
            const bool good = rest % kinds % 2 == 0;
            story += what;
            story += good ? ' ' : '!';
            const Stage stage = what == 's'   ? Stage::kStart
                                : what == 'm' ? Stage::kMid
                                : what == 'f' ? Stage::kFinal
                                              : Stage::kFull;
            // 110 is in the pool, so frames do move; a bad one has a crooked address.
            std::vector<Segment> segments = {segment(108 + number, 3)};
            segments[0].mem.raw += good ? 0 : 1;
            if (what == 'u') {
                segments.clear();
            }
            const StageResult result =
                loader.load(conditions(100), {number, static_cast<std::uint64_t>(stage), segments});
            const Expected::Answer answer = expected.call(what, good, number);
            ASSERT_EQ(name_of(result.refusal), name_of(answer.refusal)) << story;
            ASSERT_EQ(result.dropped, answer.dropped) << story;
            ASSERT_EQ(loader.is_open(), expected.open()) << story;
            ASSERT_EQ(loader.installed() ? loader.installed()->entry : 0, expected.installed)
                << story;
            ASSERT_EQ(loader.pgmap().state, expected.open()           ? PgmapState::kPending
                                            : expected.installed != 0 ? PgmapState::kLoaded
                                                                      : PgmapState::kNone);
            if (!expected.open() && expected.installed == 0) {
                ASSERT_EQ(pool.free(), 40U) << story;
            }
        }
        ASSERT_TRUE(loader.load(conditions(100), {}).ok());
        ASSERT_EQ(pool.free(), 40U) << story;
        ASSERT_EQ(pool.faults(), 0U) << story;
    }
}

TEST(StagedRandomTest, LastWriterWinsWhateverTheStages) {
    constexpr std::uint64_t kFrames = 2048;
    std::mt19937_64 random(test::seed());
    std::vector<std::byte> buffer(kFrames * kPageSize);
    const auto ram = memory::WritableRam::create(buffer, {}).value();
    unsigned loaded = 0;
    for (unsigned round = 0; round < 60 && !testing::Test::HasFailure(); ++round) {
        SCOPED_TRACE("round " + std::to_string(round));
        const LoadRules& rules = load_rules()[random() % load_rules().size()];
        const auto load = test::random_segments(random, 20 + random() % 60, kFrames / 2, true);
        FramePool pool(0, kFrames, random());
        StagedLoader loader(rules, {}, pool, Lookup::kHashed,
                            [](std::span<const Segment>) { return 3; });
        bool sound = true;
        for (std::size_t at = 0; at < load.segments.size() && sound;) {
            const std::size_t take =
                std::min<std::size_t>(random() % 17, load.segments.size() - at);
            const Stage stage = at == 0 && !loader.is_open() ? Stage::kStart : Stage::kMid;
            const std::span<const Segment> now(load.segments.data() + at, take);
            sound =
                loader.load(conditions(kFrames), {0, static_cast<std::uint64_t>(stage), now}).ok();
            at += take;
            // The map holds together at every moment, which its parser looks at.
            const auto map = parse_pgmap(pgmap_text(loader.pgmap()));
            ASSERT_TRUE(map.ok()) << map.error().message();
        }
        if (!sound) {
            EXPECT_EQ(pool.free(), kFrames);
            continue;
        }
        const std::vector<PgmapRun> before = loader.pgmap().runs;
        // Handing the map over writes to pages that are there.
        ASSERT_TRUE(
            loader.load(conditions(kFrames), {0, static_cast<std::uint64_t>(Stage::kFinal), {}})
                .ok());
        EXPECT_EQ(loader.pgmap().runs, before);
        ++loaded;
        test::expect_jump_gives(loader.installed()->image, loader.installed()->contents, load, ram);
        EXPECT_TRUE(loader.installed()->image.dest_pages.empty());
        ASSERT_TRUE(loader.load(conditions(kFrames), {}).ok());
        EXPECT_EQ(pool.free(), kFrames);
        EXPECT_EQ(pool.faults(), 0U);
    }
    EXPECT_GT(loaded, 20U);
}

// The reason for stages: the map exists only once the pages are there, and is then written into one
// of them.
TEST(StagedRandomTest, RewritingASegmentMovesNoPage) {
    FramePool pool(0, 600, test::seed());
    StagedLoader loader(rules_of("7.2"), {}, pool);
    const std::vector<Segment> kernel = {segment(100, 200), segment(400, 10)};
    const std::vector<Segment> parameters = {{77, frame(404), 2 * kPageSize}};
    const auto call = [&](Stage stage, std::span<const Segment> segments) {
        return loader.load(conditions(600), {0, static_cast<std::uint64_t>(stage), segments}).ok();
    };
    ASSERT_TRUE(call(Stage::kStart, kernel));
    const Pgmap map = loader.pgmap();
    ASSERT_TRUE(call(Stage::kMid, parameters));
    EXPECT_EQ(loader.pgmap(), map);
    ASSERT_TRUE(call(Stage::kFinal, parameters));
    EXPECT_EQ(loader.pgmap().runs, map.runs);
    EXPECT_EQ(loader.pgmap().state, PgmapState::kLoaded);
    std::uint64_t rewritten = 0;
    for (const PageContent& content : loader.installed()->contents) {
        rewritten += content.segment == 3 ? 1 : 0;  // of the last call
        EXPECT_NE(content.segment, 2U);
    }
    EXPECT_EQ(rewritten, 2U);
}

}  // namespace
}  // namespace jumpback::kimage
