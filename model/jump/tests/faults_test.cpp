// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/faults.h"

#include <gtest/gtest.h>

#include "model/jump/tests/jump_fixture.h"

namespace jumpback::jump::test {
namespace {

using S = Step;

Trace faulty(const Kernel& kernel, const Scenario& scenario, std::vector<FaultId> faults) {
    return as_trace(faulty_trace(kernel, scenario, faults), kernel.version);
}

TEST(FaultsTest, UnwindingLabelIsRecognisedInEveryVersion) {
    const Scenario failing{Branch::jump, S::suspend_devices};
    for (const Kernel& kernel : kernels()) {
        SCOPED_TRACE(to_string(kernel.version));
        const Trace trace = without(correct(kernel, failing), S::resume_devices);
        const Judgement judged = judge(kernel, failing, trace);
        EXPECT_EQ(judged.outcome, Outcome::known_fault);
        EXPECT_EQ(judged.faults, std::vector{FaultId::unwinding_label});
        EXPECT_EQ(judged.text.find("this is the 2008-2025 unwinding bug (B4): devices stay "), 0U);
        EXPECT_NE(judged.text.find("fixed by 996afb6efd1a (6.17, 6.16.y)"), std::string::npos);
        // 7.x has the fix: there it is a regression, not a known fault.
        EXPECT_EQ(judged.faults_known_here, (kernel.version < KernelVersion{6, 17}));
        EXPECT_EQ(judged.text.find("should not have it") == std::string::npos,
                  judged.faults_known_here);
        ASSERT_TRUE(judged.divergence);
        EXPECT_EQ(judged.divergence->expected, "resume-devices (dpm_resume_end)");
        EXPECT_EQ(judged.undone.at(0), "devices stay suspended: dpm_resume_end never ran");
        EXPECT_FALSE(judged.violations.empty());
    }
}

TEST(FaultsTest, TheSameStepMissingElsewhereIsAnotherFault) {
    const Kernel kernel{{6, 1}, Arch::x86_64, {}};
    for (const auto failing : {std::optional<Step>{}, std::optional{S::suspend_devices_late},
                               std::optional{S::disable_cpus}, std::optional{S::suspend_syscore}}) {
        const Scenario scenario{Branch::jump, failing};
        const Judgement judged =
            judge(kernel, scenario, without(correct(kernel, scenario), S::resume_devices));
        EXPECT_EQ(judged.outcome, Outcome::divergence);
        EXPECT_EQ(judged.divergence->kind, DivergenceKind::missing);
        EXPECT_NE(judged.text.find("devices stay suspended"), std::string::npos);
    }
}

TEST(FaultsTest, DeadlockIsRecognisedReturnedOrHung) {
    const Kernel kernel{{5, 10}, Arch::x86_64, {}};
    for (const Scenario& scenario : scenarios(kernel)) {
        Trace trace = faulty(kernel, scenario, {FaultId::mutex_deadlock});
        const bool inside = scenario.branch == Branch::jump && scenario.failing != S::take_lock &&
                            scenario.failing != S::find_image;
        SCOPED_TRACE(to_string(scenario));
        Judgement judged = judge(kernel, scenario, trace);
        EXPECT_EQ(judged.outcome, inside ? Outcome::known_fault : Outcome::match);
        if (!inside) {
            continue;
        }
        EXPECT_EQ(judged.faults, std::vector{FaultId::mutex_deadlock});
        EXPECT_EQ(judged.text.find("this is the 2018-2021 deadlock (B3): "), 0U);
        EXPECT_NE(judged.text.find("fixed by 56c91a18432b (5.11, "), std::string::npos);
        EXPECT_NE(judged.violations.at(0).text.find("deadlock"), std::string::npos);
        // As a live kernel shows it: it never gets out of the mutex.
        trace.steps.resize(place_of(trace, S::take_transition_mutex) + 1);
        trace.returned.reset();
        judged = judge(kernel, scenario, trace);
        EXPECT_EQ(judged.faults, std::vector{FaultId::mutex_deadlock});
        trace.returned = 0;
        EXPECT_EQ(judge(kernel, scenario, trace).outcome, Outcome::divergence);
    }
}

TEST(FaultsTest, LiveUpdateOnTheJump) {
    const Kernel kernel{{7, 2}, Arch::x86_64, {}};
    const Trace trace = faulty(kernel, {}, {FaultId::liveupdate_frozen});
    const Judgement judged = judge(kernel, {}, trace);
    EXPECT_EQ(judged.faults, std::vector{FaultId::liveupdate_frozen});
    EXPECT_FALSE(judged.faults_known_here);
    EXPECT_EQ(judged.undone, std::vector<std::string>{"live update state stays frozen"});
    EXPECT_TRUE(judge({{6, 19}, Arch::x86_64, {}}, {}, trace).faults_known_here);
}

TEST(FaultsTest, RedundantGfpMaskOf616) {
    const Kernel kernel{{6, 16}, Arch::x86_64, {}};
    const Judgement judged = judge(kernel, {}, faulty(kernel, {}, {FaultId::gfp_twice}));
    EXPECT_EQ(judged.faults, std::vector{FaultId::gfp_twice});
    EXPECT_TRUE(judged.faults_known_here);
}

TEST(FaultsTest, SeveralFaultsAtOnce) {
    const Scenario failing{Branch::jump, S::suspend_devices};
    const Kernel old{{4, 19}, Arch::x86_64, {}};
    const std::vector<FaultId> both{FaultId::mutex_deadlock, FaultId::unwinding_label};
    EXPECT_EQ(judge(old, failing, faulty(old, failing, both)).faults, both);
    // 6.16 as released: the mask is restored by the redundant call alone.
    const Kernel k616{{6, 16}, Arch::x86_64, {}};
    const std::vector<FaultId> two{FaultId::unwinding_label, FaultId::gfp_twice};
    const Trace trace = faulty(k616, failing, two);
    const Judgement judged = judge(k616, failing, trace);
    EXPECT_EQ(judged.faults, two);
    EXPECT_EQ(judged.undone,
              std::vector<std::string>{"devices stay suspended: dpm_resume_end never ran"});
    std::vector<FaultId> everything;
    for (const KnownFault& row : known_faults()) {
        everything.push_back(row.id);
    }
    EXPECT_EQ(judge(k616, failing, faulty(k616, failing, everything)).faults, everything);
}

TEST(FaultsTest, CodesAndCommits) {
    for (const KnownFault& row : known_faults()) {
        EXPECT_EQ(fault_of_code(row.code).value(), row.id);
        EXPECT_EQ(fault(row.id).code, row.code);
        EXPECT_EQ(row.commit.size(), 12U);
        EXPECT_NE(row.fixed.find(row.commit), std::string_view::npos);
        EXPECT_LT(row.first, row.end);
    }
    const auto unknown = fault_of_code("B99");
    ASSERT_FALSE(unknown.ok());
    EXPECT_NE(unknown.error().message().find("B12"), std::string::npos);
}

}  // namespace
}  // namespace jumpback::jump::test
