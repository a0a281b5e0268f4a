// SPDX-License-Identifier: GPL-2.0-or-later
//
// What can still go wrong behind the checks, in its order; and the function that makes each check.
#include "model/kimage/whole_call.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <vector>

#include "model/kimage/builder.h"
#include "model/kimage/kexec_flags.h"

namespace jumpback::kimage {
namespace {

class WholeCallTest : public testing::TestWithParam<LoadRules> {
  protected:
    WholeCallTest() { conditions_.totalram_pages = 0x1000; }
    [[nodiscard]] LoadVerdict check(std::optional<std::size_t> unreadable = std::nullopt) const {
        return check_whole_call(GetParam(), {}, conditions_, {entry_, flags_, segments_, false},
                                unreadable);
    }
    LoadConditions conditions_;
    std::uint64_t entry_ = 0x10'0000;
    std::uint64_t flags_ = 0;
    std::vector<Segment> segments_ = {{0, Gpa{0x20'0000}, 0x1000}, {1, Gpa{0x10'0000}, 0x1000}};
};

TEST_P(WholeCallTest, ABufferThatCannotBeReadComesLast) {
    EXPECT_TRUE(check().ok());
    EXPECT_TRUE(check(0).ok());  // nothing is taken from it
    EXPECT_TRUE(check(2).ok());  // there is none
    const LoadVerdict verdict = check(1);
    EXPECT_EQ(verdict.result, -EFAULT);
    EXPECT_EQ(verdict.check, Check::kBufferUnreadable);
    EXPECT_EQ(verdict.segment, 1U);
    EXPECT_EQ(verdict.text, "segment 1 has a buffer that cannot be read");
    segments_[1].bufsz = 0x1001;
    EXPECT_EQ(check(1).check, Check::kBufferLarger);
    segments_.clear();
    EXPECT_TRUE(check(0).unloads);
}

TEST_P(WholeCallTest, AnEmptySegmentAtZeroLeavesNoControlPageSince6_12) {
    segments_.push_back({0, Gpa{0}, 0});
    const bool covers = GetParam().version >= Version{6, 12};
    EXPECT_EQ(check().result, covers ? -ENOMEM : 0);
    EXPECT_EQ(check().check, covers ? Check::kNoControlPage : Check::kNone);
    EXPECT_EQ(check().segment, covers ? std::optional<std::size_t>(2) : std::nullopt);
    EXPECT_EQ(check(1).result, covers ? -ENOMEM : -EFAULT);
    // Building says the same, whatever the allocator gives.
    BuildPlan plan;
    plan.rules = &GetParam();
    plan.segments = segments_;
    std::vector<Allocation> trace = {{Pfn{0x400}, GetParam().control_order}};
    for (std::uint64_t at = 0; at < 8; ++at) {
        trace.push_back({Pfn{0x500 + at}, 0});
    }
    TracedFrames frames(trace);
    EXPECT_EQ(build(plan, frames).error, covers ? ENOMEM : 0);
    // Anywhere else it does no harm.
    segments_.back().mem = Gpa{0x1000};
    EXPECT_TRUE(check().ok());
    segments_.back() = {0, Gpa{0}, 0x1000};
    EXPECT_TRUE(check().ok());
}

TEST_P(WholeCallTest, CrashImagesNeverGetAsFarWithIt) {
    flags_ = kKexecOnCrash;
    conditions_.crash = {Gpa{0}, Gpa{0x2f'ffff}};
    EXPECT_TRUE(check().ok());
    EXPECT_EQ(check(1).check, Check::kBufferUnreadable);
    segments_.push_back({0, Gpa{0}, 0});
    EXPECT_EQ(check().check, Check::kCrashRegion);
}

TEST_P(WholeCallTest, TheLimitOfLoadsIsSpentByALateFailure) {
    conditions_.load_limit = 1;
    EXPECT_EQ(check(1).uses_load_limit, GetParam().load_limits);
}

INSTANTIATE_TEST_SUITE_P(Rules, WholeCallTest,
                         testing::ValuesIn(load_rules().begin(), load_rules().end()),
                         [](const auto& which) {
                             return std::string(name_of(which.param.arch)) + "_" +
                                    std::to_string(which.param.version.major) + "_" +
                                    std::to_string(which.param.version.minor);
                         });

TEST(FunctionOfTest, EveryCheckHasAFunction) {
    const LoadRules& oldest = *find_rules("5.10", Arch::kX86_64)->rules;
    const LoadRules& newest = *find_rules("7.3", Arch::kX86_64)->rules;
    std::set<std::string_view> names;
    for (int at = 1; at <= static_cast<int>(Check::kBufferUnreadable); ++at) {
        const Check check{static_cast<std::uint8_t>(at)};
        EXPECT_FALSE(function_of(check, oldest).empty()) << at;
        EXPECT_TRUE(function_of(check, newest).ends_with("()")) << at;
        names.insert(name_of(check));
    }
    EXPECT_EQ(names.size(), static_cast<std::size_t>(Check::kBufferUnreadable));
    EXPECT_FALSE(names.contains("unknown"));
    EXPECT_EQ(function_of(Check::kNone, newest), "");
    EXPECT_EQ(function_of(Check::kPermission, oldest), "kexec_load_check()");
    EXPECT_EQ(function_of(Check::kPermission, newest), "kexec_load_permitted()");
    EXPECT_EQ(function_of(Check::kSegmentsUnreadable, oldest), "copy_user_segment_list()");
    EXPECT_EQ(function_of(Check::kSegmentsUnreadable, oldest, true), "kexec_load()");
    EXPECT_EQ(function_of(Check::kSegmentsUnreadable, newest), "kexec_load()");
}

}  // namespace
}  // namespace jumpback::kimage
