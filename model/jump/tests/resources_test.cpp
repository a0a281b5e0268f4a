// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/resources.h"

#include <gtest/gtest.h>

#include "model/jump/tests/jump_fixture.h"

namespace jumpback::jump::test {
namespace {

using S = Step;
const Kernel k61{{6, 1}, Arch::x86_64, {}};
const Kernel k72{{7, 2}, Arch::x86_64, {}};

std::string all_of(const Ledger& ledger) {
    std::string text;
    for (const Violation& row : ledger.violations) {
        text += std::to_string(row.position) + ": " + row.text + "\n";
    }
    return text;
}

TEST(ResourcesTest, EveryCorrectTraceBalances) {
    for (const Kernel& kernel : kernels()) {
        for (const Scenario& scenario : scenarios(kernel)) {
            SCOPED_TRACE(to_string(kernel.version) + " " + to_string(scenario));
            const Trace trace = correct(kernel, scenario);
            const Ledger ledger = keep_books(kernel, scenario.branch, trace);
            EXPECT_EQ(all_of(ledger), "");
            if (trace.returned) {
                EXPECT_TRUE(ledger.held.empty());
            }
        }
    }
}

TEST(ResourcesTest, SaysWhatStaysTaken) {
    const Scenario failing{Branch::jump, S::suspend_devices};
    for (const Kernel& kernel : {k61, k72}) {
        const Trace trace = without(correct(kernel, failing), S::resume_devices);
        const auto undone = left_undone(kernel, keep_books(kernel, Branch::jump, trace));
        ASSERT_FALSE(undone.empty());
        EXPECT_EQ(undone[0], "devices stay suspended: dpm_resume_end never ran");
        // Since 6.16 dpm_suspend_start() restricts the gfp mask, too.
        EXPECT_EQ(undone.size(), (kernel.version < KernelVersion{6, 16} ? 1U : 2U));
    }
}

TEST(ResourcesTest, EveryPartThatIsNotUndoneIsNamed) {
    const Trace good = correct(k61, {});
    for (const ResourceInfo& row : all_resources()) {
        if (row.resource == Resource::cpu_hotplug || row.resource == Resource::liveupdate ||
            row.resource == Resource::transition_mutex || row.resource == Resource::gfp_mask) {
            continue;
        }
        const Ledger ledger = keep_books(k61, Branch::jump, without(good, row.giver));
        EXPECT_EQ(ledger.held, std::vector{row.resource}) << row.id;
        EXPECT_NE(all_of(ledger).find(row.stays), std::string::npos) << row.id;
    }
}

TEST(ResourcesTest, UndoneTwiceAndNeverDone) {
    Trace trace = correct(k61, {});
    const TraceStep thaw = trace.steps[place_of(trace, S::thaw_processes)];
    trace.steps.insert(trace.steps.end() - 1, thaw);
    EXPECT_NE(all_of(keep_books(k61, Branch::jump, trace)).find("nothing is to be undone"),
              std::string::npos);
    const Ledger never = keep_books(k61, Branch::jump, without(correct(k61, {}), S::disable_cpus));
    EXPECT_NE(all_of(never).find("machine_kexec without: secondary CPUs offline"),
              std::string::npos);
    EXPECT_NE(all_of(never).find("enable-cpus (thaw_secondary_cpus), but nothing"),
              std::string::npos);
}

TEST(ResourcesTest, OrderOfTakingAndGivingBack) {
    Trace trace = correct(k61, {});
    std::swap(trace.steps[place_of(trace, S::suspend_devices_late)],
              trace.steps[place_of(trace, S::disable_irqs)]);
    EXPECT_NE(all_of(keep_books(k61, Branch::jump, trace)).find("too late: "), std::string::npos);

    trace = correct(k61, {});
    std::swap(trace.steps[place_of(trace, S::enable_irqs)],
              trace.steps[place_of(trace, S::enable_cpus)]);
    EXPECT_NE(all_of(keep_books(k61, Branch::jump, trace))
                  .find("enable-cpus (thaw_secondary_cpus) too early: interrupts off still"),
              std::string::npos);
}

TEST(ResourcesTest, FailureIgnoredOrSwallowed) {
    Trace ignored = correct(k61, {});
    ignored.steps[place_of(ignored, S::suspend_devices_late)].result = -5;
    const std::string text = all_of(keep_books(k61, Branch::jump, ignored));
    EXPECT_NE(text.find("although suspend-devices-late (dpm_suspend_end) failed"),
              std::string::npos);

    Trace swallowed = correct(k61, {Branch::jump, S::suspend_syscore});
    swallowed.returned = 0;
    EXPECT_NE(all_of(keep_books(k61, Branch::jump, swallowed)).find("0 is returned"),
              std::string::npos);
}

TEST(ResourcesTest, NeverReturned) {
    Trace trace = correct(k61, {});
    trace.returned.reset();
    EXPECT_NE(all_of(keep_books(k61, Branch::jump, trace)).find("never returned"),
              std::string::npos);
}

TEST(ResourcesTest, PlainKexecNeedsHotplugAndLock) {
    const Scenario plain{Branch::plain, {}};
    const Trace good = correct(k72, plain);
    EXPECT_NE(all_of(keep_books(k72, Branch::plain, without(good, S::enable_cpu_hotplug)))
                  .find("with CPU hotplug disabled"),
              std::string::npos);
    EXPECT_NE(all_of(keep_books(k72, Branch::plain, without(good, S::take_lock)))
                  .find("without the kexec lock"),
              std::string::npos);
}

}  // namespace
}  // namespace jumpback::jump::test
