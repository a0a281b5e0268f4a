// SPDX-License-Identifier: GPL-2.0-or-later
//
// compare_swapped() beside memcmp over the same bytes: 256 MiB on each side, all of it resident,
// without moves and with 16384 pages (64 MiB) that have changed places. of_memcmp: both in turn;
// 1.0 is memcmp's speed.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <random>
#include <vector>

#include "model/relocate/swapped.h"

namespace {

using jumpback::Gpa;
using jumpback::kPageSize;
using jumpback::kimage::Move;
using jumpback::memory::GuestRam;
using jumpback::relocate::compare_swapped;

constexpr std::uint64_t kBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kMoves = 16384;

struct Sides {
    explicit Sides(std::uint64_t count) : before(kBytes) {
        std::mt19937_64 random(1);
        for (std::size_t at = 0; at < before.size(); at += sizeof(std::uint64_t)) {
            const std::uint64_t value = random();
            std::memcpy(before.data() + at, &value, sizeof value);
        }
        after = before;
        moves.reserve(count);
        for (std::uint64_t at = 0; at < count; ++at) {
            // A window from 1 MiB on, and sources from the top of RAM downwards.
            const Move move{Gpa{(256 + at) * kPageSize}, Gpa{kBytes - (1 + at) * kPageSize}};
            std::memcpy(after.data() + move.source.raw, before.data() + move.destination.raw,
                        kPageSize);
            std::memcpy(after.data() + move.destination.raw, before.data() + move.source.raw,
                        kPageSize);
            moves.push_back(move);
        }
    }
    std::vector<std::byte> before, after;
    std::vector<Move> moves;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void compare(benchmark::State& state) {
    const Sides sides(static_cast<std::uint64_t>(state.range(0)));
    const std::vector<std::byte> same = sides.before;  // for memcmp
    const GuestRam before = GuestRam::create(sides.before, {}).value();
    const GuestRam after = GuestRam::create(sides.after, {}).value();
    double bare = 0;
    double model = 0;
    for (auto _ : state) {
        auto start = std::chrono::steady_clock::now();
        benchmark::DoNotOptimize(std::memcmp(sides.before.data(), same.data(), kBytes));
        bare += seconds_since(start);
        start = std::chrono::steady_clock::now();
        const auto found = compare_swapped({&before}, {&after}, {sides.moves, {}, {}, 1});
        const double once = seconds_since(start);
        if (!found || found->different != 0) {
            state.SkipWithError("the comparison found a difference");  // and ends the loop
        }
        model += once;
        state.SetIterationTime(once);
    }
    state.counters["of_memcmp"] = bare / model;
}

}  // namespace

BENCHMARK(compare)->Name("compare_swapped/256MiB")->Arg(0)->Arg(kMoves)->UseManualTime();
