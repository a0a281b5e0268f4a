// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random loads from random allocators: both ways to look up a destination build the same image, and
// the image is sound.
#include <gtest/gtest.h>

#include "model/kimage/builder.h"
#include "model/kimage/list_writer.h"
#include "model/kimage/tests/frame_pool.h"
#include "model/kimage/tests/load_fixture.h"

namespace jumpback::kimage {
namespace {

constexpr std::uint64_t kFrames = 4096;

struct Built {
    BuildResult result;
    std::vector<std::uint64_t> used;
};

Built build_with(Lookup lookup, const LoadRules& rules, const std::vector<Segment>& segments,
                 std::uint64_t seed, std::uint64_t first, std::uint64_t end, std::uint64_t lowmem) {
    BuildPlan plan;
    plan.rules = &rules;
    plan.segments = segments;
    plan.lookup = lookup;
    plan.page_tables = [](std::span<const Segment> of) { return of.size() / 2; };
    test::FramePool pool(first, end, seed, lowmem);
    Built built{build(plan, pool), {pool.used().begin(), pool.used().end()}};
    EXPECT_EQ(pool.faults(), 0U);
    return built;
}

void expect_same(const BuildResult& a, const BuildResult& b) {
    EXPECT_EQ(a.error, b.error);
    EXPECT_EQ(a.text, b.text);
    EXPECT_EQ(a.image.entries, b.image.entries);
    EXPECT_EQ(a.image.list_pages, b.image.list_pages);
    EXPECT_EQ(a.image.control_code_page, b.image.control_code_page);
    EXPECT_EQ(a.image.swap_page, b.image.swap_page);
    EXPECT_EQ(a.image.page_tables, b.image.page_tables);
    EXPECT_EQ(a.image.dest_pages, b.image.dest_pages);
    EXPECT_EQ(a.image.unusable_pages, b.image.unusable_pages);
    EXPECT_EQ(a.cost.frames, b.cost.frames);
    EXPECT_EQ(a.cost.moved, b.cost.moved);
}

TEST(BuildPropertyTest, LinearAndHashedBuildTheSameSoundImage) {
    std::mt19937_64 random(test::seed());
    std::vector<std::byte> buffer(kFrames * kPageSize);
    const auto ram = memory::WritableRam::create(buffer, {}).value();
    unsigned built_well = 0;
    std::uint64_t moved = 0;
    for (unsigned round = 0; round < 150; ++round) {
        const LoadRules& rules = load_rules()[random() % load_rules().size()];
        const auto load = test::random_segments(random, 1 + random() % 16, kFrames * 3 / 4, false);
        const std::uint64_t pool_seed = random();
        const std::uint64_t first = random() % 2 == 0 ? 0 : random() % (kFrames / 2);
        const std::uint64_t lowmem =
            rules.arch == Arch::kI386 ? kFrames * 3 / 4 : ~std::uint64_t{0};
        SCOPED_TRACE("round " + std::to_string(round) + ", " + text_of(rules.version));
        const auto with = [&](Lookup lookup) {
            return build_with(lookup, rules, load.segments, pool_seed, first, kFrames, lowmem);
        };
        const Built linear = with(Lookup::kLinear);
        const Built hashed = with(Lookup::kHashed);
        expect_same(linear.result, hashed.result);
        EXPECT_EQ(linear.used, hashed.used);
        moved += hashed.result.cost.moved;
        if (hashed.result.error != 0) {
            EXPECT_TRUE(hashed.used.empty());
            continue;
        }
        ++built_well;
        test::expect_jump_gives(hashed.result.image,
                                contents_of(hashed.result.image, load.segments), load, ram);
        if (HasFailure()) {
            break;
        }
    }
    // The rounds are of use only if most of them get through and entries do have to move.
    EXPECT_GT(built_well, 50U);
    EXPECT_GT(moved, 100U);
}

}  // namespace
}  // namespace jumpback::kimage
