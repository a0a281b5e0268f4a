// SPDX-License-Identifier: GPL-2.0-or-later
//
// Cases a second of relocate-check, there and back, on one core, for each built kernel of the
// catalogue; beside it the same cases made and not run, and the bytes that swap_pages moves.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>

#include "vm/relocate/session.h"
#include "vm/unicorn/tests/kernel_under_test.h"

namespace jumpback::relocate_check {
namespace {

constexpr std::uint64_t kAtATime = 100;

void cases(benchmark::State& state, const std::shared_ptr<const Target>& target,
           std::uint64_t pages) {
    GeneratorOptions options;
    options.pages = pages;
    auto session = Session::create(target, options);
    if (!session) {
        state.SkipWithError(session.error().message().c_str());
        return;
    }
    Tally tally;
    std::uint64_t first = 0;
    for (auto iteration : state) {
        static_cast<void>(iteration);
        const Status done = session.value().run(first, kAtATime, tally);
        if (!done || tally.failed != 0) {
            state.SkipWithError("a case fails");
            return;
        }
        first += kAtATime;
    }
    const auto count = static_cast<double>(tally.cases);
    state.counters["cases_per_second"] = benchmark::Counter(count, benchmark::Counter::kIsRate);
    state.counters["pages_per_case"] = static_cast<double>(tally.pages) / count;
}

void making(benchmark::State& state, const std::shared_ptr<const Target>& target) {
    GeneratorOptions options;
    options.pages = kSmallPages;
    auto session = Session::create(target, options);
    if (!session) {
        state.SkipWithError(session.error().message().c_str());
        return;
    }
    std::uint64_t index = 0;
    for (auto iteration : state) {
        static_cast<void>(iteration);
        benchmark::DoNotOptimize(session.value().make(index++));
    }
    state.counters["cases_per_second"] =
        benchmark::Counter(static_cast<double>(index), benchmark::Counter::kIsRate);
}

void add(const std::string& kernel) {
    const auto path = unicorn::test::vmlinux_of(kernel);
    if (!path) {
        return;  // not built
    }
    Result<Target> opened = Target::open(*path);
    if (!opened) {
        return;
    }
    const auto target = std::make_shared<const Target>(std::move(opened).value());
    for (const std::uint64_t pages : {kSmallPages, kLargePages}) {
        benchmark::RegisterBenchmark(
            ("relocate_check/cases/" + kernel + "/pages:" + std::to_string(pages)).c_str(),
            [target, pages](benchmark::State& state) { cases(state, target, pages); })
            ->Unit(benchmark::kMillisecond);
    }
    benchmark::RegisterBenchmark(("relocate_check/making/" + kernel).c_str(),
                                 [target](benchmark::State& state) { making(state, target); });
}

}  // namespace
}  // namespace jumpback::relocate_check

int main(int argc, char** argv) {
    for (const char* kernel :
         {"5.10-x86_64", "6.1-x86_64", "6.1-i386", "6.12-x86_64", "7.2-x86_64", "7.3-x86_64"}) {
        jumpback::relocate_check::add(kernel);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
