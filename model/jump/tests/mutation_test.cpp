// SPDX-License-Identifier: GPL-2.0-or-later
//
// Traces that no correct kernel makes: each kind of fault by hand, with its blame, and random ones.
#include <gtest/gtest.h>

#include <iostream>
#include <random>

#include "model/jump/tests/jump_fixture.h"

namespace jumpback::jump::test {
namespace {

using S = Step;
const Kernel k61{{6, 1}, Arch::x86_64, {}};

Divergence blame(const Scenario& scenario, const Trace& trace) {
    const Judgement judged = judge(k61, scenario, trace);
    EXPECT_EQ(judged.outcome, Outcome::divergence);
    EXPECT_TRUE(judged.divergence);
    return judged.divergence.value_or(Divergence{});
}

TEST(MutationTest, StageOutOfOrder) {
    Trace trace = correct(k61, {});
    const std::size_t at = place_of(trace, S::disable_cpus);
    std::swap(trace.steps[at], trace.steps[at + 1]);
    const Divergence out = blame({}, trace);
    EXPECT_EQ(out.kind, DivergenceKind::out_of_order);
    EXPECT_EQ(out.position, at);
    EXPECT_EQ(out.expected, "disable-cpus (freeze_secondary_cpus)");
    EXPECT_EQ(out.found, "disable-irqs");
}

TEST(MutationTest, StageDroppedSaysWhatItWasFor) {
    for (const auto& [step, harm] :
         {std::pair{S::freeze_processes, "user space runs on"},
          std::pair{S::dump_log, "not handed to the dumpers"},
          std::pair{S::disable_irqs, "interrupt"}, std::pair{S::suspend_syscore, "timekeeping"}}) {
        const Divergence out = blame({}, without(correct(k61, {}), step));
        EXPECT_EQ(out.kind, DivergenceKind::missing);
        EXPECT_EQ(out.expected, describe(step, k61.version));
        EXPECT_NE(out.text.find(harm), std::string::npos) << out.text;
    }
}

TEST(MutationTest, StageTwice) {
    Trace trace = correct(k61, {});
    const std::size_t at = place_of(trace, S::resume_devices);
    trace.steps.insert(trace.steps.begin() + static_cast<std::ptrdiff_t>(at) + 1, trace.steps[at]);
    const Divergence out = blame({}, trace);
    EXPECT_EQ(out.kind, DivergenceKind::twice);
    EXPECT_EQ(out.position, at + 1);
    // At the very end, too.
    trace = correct(k61, {});
    trace.steps.push_back(trace.steps.back());
    EXPECT_EQ(blame({}, trace).kind, DivergenceKind::twice);
}

TEST(MutationTest, CallsArgumentsAndEnds) {
    Trace trace = correct(k61, {});
    trace.steps.insert(trace.steps.begin() + 4, {S::other, 0, {}, "sync_filesystems"});
    Divergence out = blame({}, trace);
    EXPECT_EQ(out.kind, DivergenceKind::unknown_call);
    EXPECT_NE(out.text.find("sync_filesystems()"), std::string::npos);

    trace = correct(k61, {});
    trace.steps[place_of(trace, S::resume_devices)].argument = 0x20;  // PMSG_THAW
    out = blame({}, trace);
    EXPECT_EQ(out.kind, DivergenceKind::wrong_argument);
    EXPECT_NE(out.text.find("PMSG_RESTORE"), std::string::npos);

    trace = correct(k61, {});
    trace.steps.pop_back();
    EXPECT_EQ(blame({}, trace).kind, DivergenceKind::ended_early);

    trace = correct(k61, {Branch::jump, S::freeze_processes});
    trace.returned = kScriptedError;
    out = blame({Branch::jump, S::freeze_processes}, trace);
    EXPECT_EQ(out.kind, DivergenceKind::wrong_return);
    EXPECT_EQ(out.expected, "returns -16");

    trace = correct(k61, {});
    trace.steps[place_of(trace, S::disable_cpus)].result = kScriptedError;
    EXPECT_EQ(blame({}, trace).kind, DivergenceKind::wrong_result);

    trace = correct(k61, {});
    trace.steps.insert(trace.steps.begin() + 3, {S::shut_down_machine, 0, {}, ""});
    EXPECT_EQ(blame({}, trace).kind, DivergenceKind::unexpected);
}

// One random change of structure, or none.
void mutate(Trace& trace, std::mt19937_64& random) {
    const std::size_t count = trace.steps.size();
    const std::size_t at = random() % count;
    const auto here = trace.steps.begin() + static_cast<std::ptrdiff_t>(at);
    switch (random() % 5) {
        case 0:
            trace.steps.erase(here);
            break;
        case 1:
            std::swap(trace.steps[at], trace.steps[random() % count]);
            break;
        case 2: {
            const TraceStep copy = *here;
            const std::size_t to = random() % (count + 1);
            trace.steps.insert(trace.steps.begin() + static_cast<std::ptrdiff_t>(to), copy);
            break;
        }
        case 3: {
            const auto step = static_cast<Step>(random() % kSteps);
            trace.steps.insert(here, {step, 0, info(step).argument, ""});
            break;
        }
        default:
            trace.steps.resize(at);
            break;
    }
}

// By what a trace is judged: not by the name that was called.
bool same(const Trace& first, const Trace& second) {
    return std::equal(first.steps.begin(), first.steps.end(), second.steps.begin(),
                      second.steps.end(), [](const TraceStep& a, const TraceStep& b) {
                          return a.step == b.step && (a.result == 0) == (b.result == 0) &&
                                 a.argument == b.argument;
                      });
}

bool is_resource_step(Step step) {
    return step == S::machine_kexec ||
           std::any_of(all_resources().begin(), all_resources().end(),
                       [&](const auto& row) { return row.taker == step || row.giver == step; });
}

std::vector<Step> resource_steps(const Trace& trace) {
    std::vector<Step> out;
    for (const TraceStep& row : trace.steps) {
        if (is_resource_step(row.step)) {
            out.push_back(row.step);
        }
    }
    return out;
}

TEST(MutationTest, RandomMutationsAreAlwaysCaught) {
    const std::uint64_t seed = std::random_device{}();
    std::cout << "seed " << seed << '\n';
    RecordProperty("seed", std::to_string(seed));
    std::mt19937_64 random(seed);
    unsigned made = 0;
    unsigned by_books = 0;
    unsigned touching_resources = 0;
    while (made < 20000) {
        const auto all = kernels();
        const Kernel& kernel = all[random() % all.size()];
        const auto ways = scenarios(kernel);
        const Scenario& scenario = ways[random() % ways.size()];
        const Trace good = correct(kernel, scenario);
        Trace trace = good;
        for (auto changes = 1 + random() % 3; changes > 0 && !trace.steps.empty(); --changes) {
            mutate(trace, random);
        }
        if (same(trace, good)) {
            continue;
        }
        ++made;
        const Judgement judged = judge(kernel, scenario, trace);
        ASSERT_NE(judged.outcome, Outcome::match)
            << "seed " << seed << ", change " << made << ", " << to_string(scenario);
        ASSERT_FALSE(judged.text.empty());
        // How far the rules alone get, without any table of orders. They say nothing of a plain
        // kexec's steps, so only jumps count.
        if (scenario.branch == Branch::jump && !scenario.failing && trace.returned &&
            resource_steps(trace) != resource_steps(good)) {
            ++touching_resources;
            by_books += judged.violations.empty() ? 0U : 1U;
        }
    }
    EXPECT_GT(touching_resources, 500U);
    // What they cannot see is a pair that is left out as a whole, prepare-console and
    // restore-console for one: the jump does not need it.
    EXPECT_GE(by_books * 100, touching_resources * 90)
        << by_books << " of " << touching_resources << ", seed " << seed;
    std::cout << "the rules alone caught " << by_books << " of " << touching_resources << '\n';
}

}  // namespace
}  // namespace jumpback::jump::test
