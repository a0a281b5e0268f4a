// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/sequence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "vm/sequence/tests/mini.h"

namespace jumpback::sequence::test {
namespace {

using jump::Branch;
using jump::FaultId;
using jump::Outcome;
using jump::Scenario;
using jump::Step;

constexpr const char* kArchs[] = {"x86_64", "i386"};

TEST(SequenceRunTest, CorrectKernelsMatchInEveryScenario) {
    for (const char* name :
         {"good", "console", "up", "paravirt", "popf", "pointer", "old-mutex", "retpoline"}) {
        for (const std::string arch : kArchs) {
            if (std::string(name) == "retpoline" && arch == "i386") {
                continue;
            }
            Mini mini(name, arch);
            for (const Scenario& scenario : jump::scenarios(mini.sequence.kernel())) {
                SCOPED_TRACE(std::string(name) + " " + arch + ", " + to_string(scenario));
                const auto judged = mini.judge(scenario);
                EXPECT_EQ(judged.outcome, Outcome::match) << judged.text;
                EXPECT_TRUE(judged.violations.empty());
                EXPECT_EQ(mini.run.stopped, "");
            }
        }
    }
}

TEST(SequenceRunTest, KnowsTheKernel) {
    Mini good("good", "i386");
    EXPECT_EQ(good.sequence.release(), "6.1.0-mini");
    EXPECT_EQ(good.sequence.kernel().version, (jump::KernelVersion{6, 1}));
    EXPECT_EQ(good.sequence.kernel().arch, jump::Arch::i386);
    // 21 words, then the second bit.
    EXPECT_EQ(good.sequence.preserve_bit(), (ImageBit{std::uint64_t{21} * 4, 1}));
    EXPECT_EQ(Mini("good").sequence.preserve_bit(), (ImageBit{std::uint64_t{21} * 8, 1}));
    EXPECT_TRUE(good.sequence.kernel().left_out.contains(Step::prepare_console));
    EXPECT_FALSE(Mini("console").sequence.kernel().left_out.contains(Step::prepare_console));
    EXPECT_TRUE(Mini("up").sequence.kernel().left_out.contains(Step::disable_cpus));
}

TEST(SequenceRunTest, RecordsSymbolsArgumentsAndSites) {
    Mini mini("good");
    const TracedRun run = mini.sequence.run({Branch::jump, Step::suspend_devices_late});
    ASSERT_EQ(run.trace.steps.size(), 9U);
    const jump::TraceStep& failed = run.trace.steps[4];
    EXPECT_EQ(failed.symbol, "dpm_suspend_end");
    EXPECT_EQ(failed.argument, 1U);
    EXPECT_EQ(failed.result, jump::kScriptedError);
    EXPECT_EQ(run.trace.steps[5].symbol, "dpm_resume_end");
    EXPECT_EQ(run.trace.steps[5].argument, 0x40U);
    EXPECT_EQ(run.trace.returned, jump::kScriptedError);
    for (const Call& call : run.calls) {
        EXPECT_EQ(mini.vmlinux.find(call.site)->symbol.name, "kernel_kexec");
    }
    // A helper is a call, but no step.
    const TracedRun plain = mini.sequence.run({Branch::plain, {}});
    EXPECT_TRUE(std::any_of(plain.calls.begin(), plain.calls.end(), [](const Call& call) {
        return call.symbol == "_printk" && call.step.empty();
    }));
}

TEST(SequenceRunTest, RunsDoNotDisturbEachOther) {
    Mini mini("good");
    const TracedRun first = mini.sequence.run({});
    for (const Scenario& scenario : jump::scenarios(mini.sequence.kernel())) {
        (void)mini.sequence.run(scenario);
        const TracedRun again = mini.sequence.run({});
        EXPECT_EQ(again.trace.steps, first.trace.steps) << to_string(scenario);
        EXPECT_EQ(again.trace.returned, first.trace.returned);
    }
}

TEST(SequenceRunTest, KnownFaultsAreBlamed) {
    struct Row {
        const char* name;
        std::vector<FaultId> faults;
        std::optional<Step> failing;
        bool known_here;
    };
    const std::vector<Row> rows{
        {"label", {FaultId::unwinding_label}, Step::suspend_devices, true},
        {"label-of-7.2", {FaultId::unwinding_label}, Step::suspend_devices, false},
        {"deadlock", {FaultId::mutex_deadlock}, {}, true},
        {"deadlock-mutex", {FaultId::mutex_deadlock}, Step::disable_cpus, true},
        {"liveupdate", {FaultId::liveupdate_frozen}, {}, true},
        {"gfp", {FaultId::gfp_twice}, {}, true},
        {"gfp-label", {FaultId::unwinding_label, FaultId::gfp_twice}, Step::suspend_devices, true},
    };
    for (const Row& row : rows) {
        for (const std::string arch : kArchs) {
            SCOPED_TRACE(std::string(row.name) + " " + arch);
            Mini mini(row.name, arch);
            const auto judged = mini.judge({Branch::jump, row.failing});
            EXPECT_EQ(judged.outcome, Outcome::known_fault) << judged.text;
            EXPECT_EQ(judged.faults, row.faults);
            EXPECT_EQ(judged.faults_known_here, row.known_here);
        }
    }
}

TEST(SequenceRunTest, HangTrapAndStrangeCall) {
    for (const std::string arch : kArchs) {
        Mini loop("loop", arch);
        EXPECT_EQ(loop.judge({}).divergence->kind, jump::DivergenceKind::ended_early);
        EXPECT_NE(loop.run.stopped.find("in circles at kernel_kexec+"), std::string::npos);
        EXPECT_FALSE(loop.run.trace.returned);

        Mini trap("trap", arch);
        EXPECT_EQ(trap.judge({}).divergence->kind, jump::DivergenceKind::ended_early);
        EXPECT_NE(trap.run.stopped.find("exception at kernel_kexec+"), std::string::npos);

        Mini strange("strange", arch);
        const auto judged = strange.judge({});
        EXPECT_EQ(judged.divergence->kind, jump::DivergenceKind::unknown_call);
        EXPECT_EQ(judged.divergence->found, "panic_now()");
    }
}

// Red twins: the bytes of the good one are changed in the mapped copy.
class PatchedTest : public testing::Test {
  protected:
    // The call of `function` in kernel_kexec(), by its 5 bytes.
    [[nodiscard]] Gva call_site(std::string_view function) const {
        const Symbol caller = good_.vmlinux.symbol("kernel_kexec").value();
        const std::uint64_t target = good_.vmlinux.symbol(function).value().address.raw;
        const auto code = good_.vmlinux.read(caller.address, caller.size).value();
        for (std::size_t at = 0; at + 5 <= code.size(); ++at) {
            std::int32_t relative = 0;
            std::memcpy(&relative, &code[at + 1], sizeof(relative));
            const std::uint64_t next = caller.address.raw + at + 5;
            if (code[at] == std::byte{0xe8} &&
                next + static_cast<std::uint64_t>(std::int64_t{relative}) == target) {
                return Gva{caller.address.raw + at};
            }
        }
        ADD_FAILURE() << "no call of " << function;
        return {};
    }
    [[nodiscard]] Patch redirect(std::string_view from, std::string_view to) const {
        const Gva site = call_site(from);
        const std::uint64_t target = good_.vmlinux.symbol(to).value().address.raw;
        const auto relative = static_cast<std::uint32_t>(target - site.raw - 5);
        Patch patch{Gva{site.raw + 1}, std::vector<std::byte>(4)};
        std::memcpy(patch.bytes.data(), &relative, sizeof(relative));
        return patch;
    }
    Mini good_{"good"};
};

TEST_F(PatchedTest, SwappedCallTargets) {
    const std::vector<Patch> patches{redirect("dpm_suspend_start", "suspend_console"),
                                     redirect("suspend_console", "dpm_suspend_start")};
    Mini bad("good", "x86_64", patches);
    const auto judged = bad.judge({});
    EXPECT_EQ(judged.divergence->kind, jump::DivergenceKind::out_of_order);
    EXPECT_EQ(judged.divergence->expected, "suspend-consoles (suspend_console)");
    EXPECT_EQ(judged.divergence->found, "suspend-devices (dpm_suspend_start)");
}

TEST_F(PatchedTest, CallTurnedIntoNops) {
    const Patch nops{call_site("syscore_suspend"), std::vector<std::byte>(5, std::byte{0x90})};
    Mini bad("good", "x86_64", std::span(&nops, 1));
    const auto judged = bad.judge({});
    EXPECT_EQ(judged.divergence->kind, jump::DivergenceKind::missing);
    EXPECT_EQ(judged.divergence->expected, "suspend-syscore (syscore_suspend)");
}

// freeze_processes() becomes "mov $1, %eax", a failure: nothing but the console is touched then.
TEST_F(PatchedTest, AJumpWithoutItsFirstStepIsStillOne) {
    const Patch patch{call_site("freeze_processes"),
                      {std::byte{0xb8}, std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0}}};
    Mini bad("good", "x86_64", std::span(&patch, 1));
    const auto judged = bad.judge({});
    EXPECT_EQ(judged.divergence->kind, jump::DivergenceKind::missing);
    EXPECT_EQ(judged.divergence->expected, "freeze-processes (freeze_processes)");
}

TEST_F(PatchedTest, AnotherFunctionIsCalled) {
    const Patch patch = redirect("dpm_suspend_end", "dpm_suspend_start");
    Mini bad("good", "x86_64", std::span(&patch, 1));
    EXPECT_EQ(bad.judge({}).divergence->kind, jump::DivergenceKind::twice);
}

TEST_F(PatchedTest, OutsideOfTheKernel) {
    const Patch patch{Gva{0x1000}, std::vector<std::byte>(1)};
    const auto failed = Sequence::create(good_.vmlinux, std::span(&patch, 1));
    ASSERT_FALSE(failed.ok());
    EXPECT_NE(failed.error().message().find("0x1000"), std::string::npos);
}

}  // namespace
}  // namespace jumpback::sequence::test
