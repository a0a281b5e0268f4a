// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/sequence.h"

#include <gtest/gtest.h>

#include "model/jump/tests/jump_fixture.h"

namespace jumpback::jump::test {
namespace {

using S = Step;
using Steps = std::vector<Step>;

const Steps kForward61{S::take_lock,        S::prepare_console, S::freeze_processes,
                       S::suspend_consoles, S::suspend_devices, S::suspend_devices_late,
                       S::disable_cpus,     S::disable_irqs,    S::suspend_syscore,
                       S::dump_log,         S::machine_kexec};
const Steps kBack{S::resume_syscore,       S::enable_irqs,     S::enable_cpus,
                  S::resume_devices_early, S::resume_devices,  S::resume_consoles,
                  S::thaw_processes,       S::restore_console, S::drop_lock};

Steps joined(Steps first, const Steps& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}
Steps up_to(const Steps& steps, Step last) {
    return {steps.begin(), std::find(steps.begin(), steps.end(), last) + 1};
}
Steps from(const Steps& steps, Step first) {
    return {std::find(steps.begin(), steps.end(), first), steps.end()};
}

TEST(SequenceTest, JumpThatSucceeds) {
    for (const Kernel& kernel : kernels()) {
        SCOPED_TRACE(to_string(kernel.version));
        Steps forward = kForward61;
        if (kernel.version == KernelVersion{5, 10}) {
            std::erase(forward, S::dump_log);
        }
        const ExpectedTrace expected = expected_trace(kernel, {});
        EXPECT_EQ(steps_of(expected), joined(forward, kBack));
        EXPECT_EQ(expected.returned, 0);
    }
}

// The way out of each failure, as kernels.md lists the labels; written out here once more, by hand.
TEST(SequenceTest, EveryFailureUnwinds) {
    struct Row {
        Step failing;
        Step to;
        int returned;
    };
    const std::vector<Row> rows{
        {S::freeze_processes, S::restore_console, kBusy},
        {S::suspend_devices, S::resume_devices, -5},
        {S::suspend_devices_late, S::resume_devices, -5},
        {S::disable_cpus, S::enable_cpus, -5},
        {S::suspend_syscore, S::enable_irqs, -5},
    };
    for (const Kernel& kernel : kernels()) {
        for (const Row& row : rows) {
            SCOPED_TRACE(to_string(kernel.version) + " " + std::string(info(row.failing).id));
            const ExpectedTrace expected = expected_trace(kernel, {Branch::jump, row.failing});
            EXPECT_EQ(steps_of(expected),
                      joined(up_to(kForward61, row.failing), from(kBack, row.to)));
            EXPECT_EQ(expected.returned, row.returned);
            for (const ExpectedStep& step : expected.steps) {
                EXPECT_EQ(step.result, step.step == row.failing ? -5 : 0);
            }
        }
    }
}

TEST(SequenceTest, EarlyExits) {
    for (const Kernel& kernel : kernels()) {
        const ExpectedTrace locked = expected_trace(kernel, {Branch::jump, S::take_lock});
        EXPECT_EQ(steps_of(locked), Steps{S::take_lock});
        EXPECT_EQ(locked.returned, kBusy);
        const ExpectedTrace empty = expected_trace(kernel, {Branch::plain, S::find_image});
        EXPECT_EQ(steps_of(empty), (Steps{S::take_lock, S::drop_lock}));
        EXPECT_EQ(empty.returned, kInvalid);
    }
}

TEST(SequenceTest, PlainKexecByVersion) {
    const auto plain = [](KernelVersion version) {
        return steps_of(expected_trace({version, Arch::x86_64, {}}, {Branch::plain, {}}));
    };
    const Steps v5_10{S::take_lock,           S::mark_in_progress,   S::prepare_restart,
                      S::migrate_to_boot_cpu, S::enable_cpu_hotplug, S::shut_down_machine,
                      S::machine_kexec};
    Steps v6_1 = v5_10;
    v6_1.insert(v6_1.end() - 1, S::dump_log);
    Steps v6_12 = v6_1;
    v6_12.insert(v6_12.begin() + 4, S::shut_down_syscore);
    Steps v7 = v6_12;
    v7.insert(v7.begin() + 1, S::liveupdate_reboot);
    EXPECT_EQ(plain({5, 10}), v5_10);
    EXPECT_EQ(plain({6, 1}), v6_1);
    EXPECT_EQ(plain({6, 12}), v6_12);
    EXPECT_EQ(plain({7, 2}), v7);
    EXPECT_EQ(plain({7, 3}), v7);

    const ExpectedTrace failed =
        expected_trace({{7, 2}, Arch::x86_64, {}}, {Branch::plain, S::liveupdate_reboot});
    EXPECT_EQ(steps_of(failed), (Steps{S::take_lock, S::liveupdate_reboot, S::drop_lock}));
    EXPECT_EQ(failed.returned, kScriptedError);
    EXPECT_FALSE(expected_trace({{6, 1}, Arch::x86_64, {}}, {Branch::plain, {}}).returned);
}

TEST(SequenceTest, ScenariosCoverEveryStepThatCanFail) {
    const auto all = scenarios({{7, 2}, Arch::x86_64, {}});
    EXPECT_EQ(all.size(), 10U);
    for (const StepInfo& row : all_steps()) {
        const bool covered = std::any_of(all.begin(), all.end(), [&](const Scenario& scenario) {
            return scenario.failing == row.step;
        });
        EXPECT_EQ(covered, row.returns_error) << row.id;
    }
    EXPECT_EQ(scenarios({{6, 1}, Arch::x86_64, {}}).size(), 9U);  // no liveupdate_reboot()
}

TEST(SequenceTest, LeftOutStepsAreNotExpectedButKeepTheirLabels) {
    Kernel up{{6, 1}, Arch::i386, {}};
    up.left_out.add(S::disable_cpus).add(S::enable_cpus).add(S::prepare_console);
    up.left_out.add(S::restore_console);
    const ExpectedTrace syscore = expected_trace(up, {Branch::jump, S::suspend_syscore});
    EXPECT_EQ(steps_of(syscore),
              (Steps{S::take_lock, S::freeze_processes, S::suspend_consoles, S::suspend_devices,
                     S::suspend_devices_late, S::disable_irqs, S::suspend_syscore, S::enable_irqs,
                     S::resume_devices_early, S::resume_devices, S::resume_consoles,
                     S::thaw_processes, S::drop_lock}));
    const ExpectedTrace frozen = expected_trace(up, {Branch::jump, S::freeze_processes});
    EXPECT_EQ(steps_of(frozen), (Steps{S::take_lock, S::freeze_processes, S::drop_lock}));
    for (const Scenario& scenario : scenarios(up)) {
        EXPECT_EQ(judge(up, scenario, correct(up, scenario)).outcome, Outcome::match);
    }
}

TEST(SequenceTest, BetweenKnownVersionsAStepMayBeThere) {
    const Kernel kernel{{5, 15}, Arch::x86_64, {}};
    const Trace with = correct(kernel, {});
    EXPECT_EQ(judge(kernel, {}, with).outcome, Outcome::match);
    EXPECT_EQ(judge(kernel, {}, without(with, S::dump_log)).outcome, Outcome::match);
    const Kernel known{{6, 1}, Arch::x86_64, {}};
    EXPECT_EQ(judge(known, {}, without(with, S::dump_log)).outcome, Outcome::divergence);
    const Kernel old{{5, 10}, Arch::x86_64, {}};
    EXPECT_EQ(judge(old, {}, with).outcome, Outcome::divergence);
}

TEST(SequenceTest, NamesByVersion) {
    EXPECT_EQ(symbol_in(S::suspend_consoles, {6, 12}), "suspend_console");
    EXPECT_EQ(symbol_in(S::suspend_consoles, {7, 2}), "console_suspend_all");
    EXPECT_EQ(step_of_symbol("suspend_console"), S::suspend_consoles);
    EXPECT_EQ(step_of_symbol("console_suspend_all"), S::suspend_consoles);
    EXPECT_FALSE(step_of_symbol("printk"));
    for (const StepInfo& row : all_steps()) {
        EXPECT_EQ(step_of_id(row.id), row.step);
    }
    EXPECT_FALSE(step_of_id("suspend_devices"));
    EXPECT_EQ(describe(S::resume_devices, {6, 1}), "resume-devices (dpm_resume_end)");
}

TEST(SequenceTest, Releases) {
    EXPECT_EQ(parse_version("6.1.192-jumpback").value(), (KernelVersion{6, 1}));
    EXPECT_EQ(parse_version("7.3").value(), (KernelVersion{7, 3}));
    EXPECT_EQ(parse_version("6.13-rc2").value(), (KernelVersion{6, 13}));
    for (const std::string_view bad : {"", "6", "6.", "linux-6.1", "6.x", "6.1x", "-6.1", "6..1"}) {
        const auto result = parse_version(bad);
        ASSERT_FALSE(result.ok()) << bad;
        EXPECT_NE(result.error().message().find(bad), std::string::npos);
    }
}

}  // namespace
}  // namespace jumpback::jump::test
