// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/survey.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "vm/sequence/isolated.h"
#include "vm/sequence/tests/mini.h"

namespace jumpback::sequence::test {
namespace {

using std::chrono::seconds;

TEST(SurveyTest, SameAsRunInThisProcess) {
    for (const std::string arch : {"x86_64", "i386"}) {
        Mini mini("label", arch);
        const Survey all = survey(mini.vmlinux).value();
        EXPECT_EQ(all.release, "6.1.0-mini");
        EXPECT_EQ(all.preserve_bit, mini.sequence.preserve_bit());
        EXPECT_EQ(all.kernel.left_out, mini.sequence.kernel().left_out);
        ASSERT_EQ(all.runs.size(), jump::scenarios(all.kernel).size());
        for (const auto& [scenario, run] : all.runs) {
            const TracedRun direct = mini.sequence.run(scenario);
            EXPECT_EQ(run.trace.steps, direct.trace.steps);
            EXPECT_EQ(run.trace.returned, direct.trace.returned);
            EXPECT_EQ(run.stopped, direct.stopped);
            ASSERT_EQ(run.calls.size(), direct.calls.size());
            for (std::size_t i = 0; i < run.calls.size(); ++i) {
                EXPECT_EQ(run.calls[i].symbol, direct.calls[i].symbol);
                EXPECT_EQ(run.calls[i].site, direct.calls[i].site);
                EXPECT_EQ(run.calls[i].argument, direct.calls[i].argument);
                EXPECT_EQ(run.calls[i].result, direct.calls[i].result);
            }
        }
        EXPECT_EQ(all.machine_runs.size(), 2U);
    }
}

TEST(SurveyTest, ErrorsComeThrough) {
    const Vmlinux kernel = Vmlinux::open(mini_path("no-jump")).value();
    const auto failed = survey(kernel);
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().where, kernel.path());
    EXPECT_NE(failed.error().what.find("CONFIG_KEXEC_JUMP"), std::string::npos);
}

// Unicorn 2.0.1 aborts when it translates a far jump to a register. The first bytes of
// the function are never skipped.
TEST(SurveyTest, EmulatorThatDiesIsAnError) {
    const Vmlinux kernel = Vmlinux::open(mini_path("good")).value();
    const Patch patch{kernel.symbol("kernel_kexec").value().address,
                      {std::byte{0xff}, std::byte{0xe8}}};
    const auto failed = survey(kernel, std::span(&patch, 1));
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().where, kernel.path());
}

TEST(IsolatedTest, ValuesErrorsDeathsAndDeadlines) {
    const std::string large(1 << 20, 'x');  // more than a pipe holds
    EXPECT_EQ(run_isolated("it", seconds(30), [&] { return Result<std::string>(large); }).value(),
              large);
    EXPECT_EQ(
        run_isolated("it", seconds(30), [] { return Result<std::string>(std::string()); }).value(),
        "");
    const auto error = run_isolated("it", seconds(30), [] {
        return Result<std::string>(Error{"there", "is nothing"});
    });
    EXPECT_EQ(error.error().message(), "there: is nothing");
    const auto died =
        run_isolated("it", seconds(30), []() -> Result<std::string> { std::abort(); });
    EXPECT_NE(died.error().message().find("it: the emulated CPU died"), std::string::npos);
    const auto late = run_isolated("it", seconds(1), []() -> Result<std::string> {
        for (;;) {
            ::pause();
        }
    });
    EXPECT_NE(late.error().message().find("it: running its code took more than 1 s"),
              std::string::npos);
}

}  // namespace
}  // namespace jumpback::sequence::test
