// SPDX-License-Identifier: GPL-2.0-or-later
//
// From any failing case to a small one that shows the same, and from there to the instructions.
#include "vm/relocate/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "vm/relocate/breaks.h"
#include "vm/relocate/explain.h"
#include "vm/relocate/session.h"
#include "vm/relocate/tests/kernel.h"

namespace jumpback::relocate_check {
namespace {

struct Failing {
    Case run;
    Finding finding;
    Checker::Options options;
};

class ShrinkTest : public test::OnKernel {
  protected:
    // The first failing case of that fault with at least `pages` pages; nothing if none fails.
    std::optional<Failing> find(std::string_view fault, std::uint64_t pages) {
        Result<Broken> broken = apply_break(*target_, fault);
        EXPECT_TRUE(broken.ok());
        GeneratorOptions options;
        options.seed = test::seed();
        auto made = Session::create(broken->target, options);
        EXPECT_TRUE(made.ok());
        session_.emplace(std::move(made).value());
        Failing failing;
        failing.options.tamper = broken->tamper;
        for (std::uint64_t index = 0; index < 1000; ++index) {
            failing.run = session_->make(index);
            if (failing.run.pages() < pages) {
                continue;
            }
            const auto result = session_->checker().run(failing.run, failing.options);
            EXPECT_TRUE(result.ok()) << result.error().message();
            for (const Finding& finding : result->findings) {
                if (finding.known == nullptr) {
                    failing.finding = finding;
                    return failing;
                }
            }
        }
        return std::nullopt;
    }

    std::optional<Session> session_;
};

TEST_P(ShrinkTest, ALongListBecomesOneMoveWithTheSameDifference) {
    const auto failing = find("swap-becomes-copy", 5);
    ASSERT_TRUE(failing.has_value()) << "seed " << test::seed();
    const auto shrunk =
        shrink(session_->checker(), failing->run, failing->finding, failing->options);
    ASSERT_TRUE(shrunk.ok()) << shrunk.error().message();
    EXPECT_EQ(shrunk->run.entries.size(), 2U);
    EXPECT_TRUE(shrunk->run.callee.changes.empty());
    EXPECT_TRUE(shrunk->finding.same_kind(failing->finding));
    // What is shown is shown by the small case itself.
    const auto again = session_->checker().run(shrunk->run, failing->options);
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(again->failed());
}

TEST_P(ShrinkTest, WordsThatTheFaultNeedsStay) {
    const auto failing = find("last-indirection-entry-dropped", 0);
    ASSERT_TRUE(failing.has_value()) << "seed " << test::seed();
    const auto shrunk =
        shrink(session_->checker(), failing->run, failing->finding, failing->options);
    ASSERT_TRUE(shrunk.ok()) << shrunk.error().message();
    const std::uint64_t fit = kimage::words_per_page(target_->generation.word()) - 1;
    EXPECT_GE(shrunk->run.entries.size(), fit) << "the last word of a full list page";
    EXPECT_LE(shrunk->run.entries.size(), failing->run.entries.size());
}

TEST_P(ShrinkTest, ACaseThatDoesNotShowItIsAnError) {
    auto failing = find("swap-becomes-copy", 1);
    ASSERT_TRUE(failing.has_value());
    failing->finding.item = "something else";
    EXPECT_FALSE(
        shrink(session_->checker(), failing->run, failing->finding, failing->options).ok());
}

TEST_P(ShrinkTest, TheExplanationShowsListAndInstructions) {
    const auto failing = find("swap-page-as-source", 1);
    ASSERT_TRUE(failing.has_value());
    const auto shrunk =
        shrink(session_->checker(), failing->run, failing->finding, failing->options);
    ASSERT_TRUE(shrunk.ok()) << shrunk.error().message();
    const auto shown = explain(session_->checker(), shrunk->run, shrunk->result, failing->options);
    ASSERT_TRUE(shown.ok()) << shown.error().message();
    EXPECT_EQ(shown->list.front().meaning, "INDIRECTION");
    EXPECT_EQ(shown->list.back().meaning, "DONE");
    EXPECT_FALSE(shown->blame.empty());
    EXPECT_TRUE(std::any_of(shown->trace.begin(), shown->trace.end(), [](const TraceLine& line) {
        return line.symbol.starts_with("swap_pages") && line.text.starts_with("rep movs");
    }));
    const auto blamed = std::count_if(shown->trace.begin(), shown->trace.end(),
                                      [](const TraceLine& line) { return line.blamed; });
    EXPECT_EQ(blamed, 1);
}

TEST(ListLinesTest, EveryWordIsNamedAndRunsAreFolded) {
    Case run;
    const auto add = [&](std::uint64_t raw) { run.entries.push_back({raw}); };
    add(0x5000 | kimage::kIndDestination);
    add(0x7000 | kimage::kIndSource);
    add(0x6000 | kimage::kIndSource);
    for (std::uint64_t number = 0; number < 10; ++number) {
        add(0x9000 | kimage::kIndDestination);
    }
    run.list_frames = {Gpa{0xa000}};
    const auto lines = list_lines(run, kimage::Word::k64, true);
    ASSERT_EQ(lines.size(), 6U);
    EXPECT_EQ(lines[0].raw, 0xa002U);
    EXPECT_EQ(lines[1].meaning, "DESTINATION 0x5000");
    EXPECT_EQ(lines[2].meaning, "SOURCE 0x7000: swapped with 0x5000 (move 0)");
    EXPECT_EQ(lines[3].meaning, "SOURCE 0x6000: stays where it is (move 1)");
    EXPECT_EQ(lines[4].meaning, "and on to word 12: 10 DESTINATIONs without a SOURCE");
    EXPECT_EQ(lines[5].meaning, "DONE");
}

TEST(ListLinesTest, AnEmptyListIsItsHead) {
    const auto lines = list_lines(Case{}, kimage::Word::k32, true);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0].raw, kimage::kIndDone);
}

INSTANTIATE_TEST_SUITE_P(Kernels, ShrinkTest,
                         testing::Values("6.1-x86_64", "6.1-i386", "7.2-x86_64"),
                         test::name_of_kernel);

}  // namespace
}  // namespace jumpback::relocate_check
