// SPDX-License-Identifier: GPL-2.0-or-later
//
// Model relocation beside the same moves as bare memcpy of whole pages: one for a copy, three
// through the swap page for a swap. 256 MiB of RAM, 32768 moves between scattered frames, so
// memory and not the cache sets the pace. bytes_per_second counts what the moves move (a page for a
// copy, two for a swap). The ratios run both in turn: 1.0 is memcpy's speed, the target 0.8.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "model/relocate/relocate.h"

namespace {

using jumpback::Gpa;
using jumpback::kPageSize;
using jumpback::kimage::Move;
using jumpback::memory::WritableRam;
using jumpback::relocate::Action;

constexpr std::uint64_t kFrames = (std::uint64_t{256} << 20) / kPageSize;

// Frame 0 is the swap page; all others are paired at random.
struct Board {
    Board() : bytes(kFrames * kPageSize), ram(WritableRam::create(bytes, {}).value()) {
        std::mt19937_64 random(1);
        for (std::size_t at = 0; at < bytes.size(); at += 8) {
            const std::uint64_t value = random();
            std::memcpy(bytes.data() + at, &value, 8);
        }
        std::vector<std::uint64_t> numbers(kFrames - 1);
        std::iota(numbers.begin(), numbers.end(), 1U);
        std::shuffle(numbers.begin(), numbers.end(), random);
        for (std::size_t at = 0; at + 1 < numbers.size(); at += 2) {
            moves.push_back({Gpa{numbers[at] * kPageSize}, Gpa{numbers[at + 1] * kPageSize}});
        }
    }
    std::vector<std::byte> bytes;
    WritableRam ram;
    std::vector<Move> moves;
};

Board& board() {
    static Board instance;
    return instance;
}

template <typename Work>
double seconds_of(Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <Action action>
double bare() {
    return seconds_of([] {
        std::byte* base = board().bytes.data();
        for (const Move& move : board().moves) {
            std::byte* source = base + move.source.raw;
            std::byte* destination = base + move.destination.raw;
            if constexpr (action == Action::kCopy) {
                std::memcpy(destination, source, kPageSize);
            } else {
                std::memcpy(base, source, kPageSize);
                std::memcpy(source, destination, kPageSize);
                std::memcpy(destination, base, kPageSize);
            }
        }
        benchmark::ClobberMemory();
    });
}

template <Action action>
double model_in_order() {
    return seconds_of([] {
        auto done = relocate_in_order(board().ram, board().moves, Gpa{0}, action);
        benchmark::DoNotOptimize(done);
    });
}

template <Action action>
double model_fast() {
    return seconds_of([] {
        auto done = relocate(board().ram, board().moves, Gpa{0}, action);
        benchmark::DoNotOptimize(done);
    });
}

template <double (*Measured)(), Action action>
void alone(benchmark::State& state) {
    board();
    for (auto _ : state) {
        state.SetIterationTime(Measured());
    }
    const std::size_t pages = board().moves.size() * (action == Action::kSwap ? 2 : 1);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(pages * kPageSize));
}

// In turn, so that a host that slows down slows both.
template <double (*Measured)(), double (*Bare)()>
void ratio(benchmark::State& state) {
    board();
    double measured = 0;
    double physical = 0;
    for (auto _ : state) {
        physical += Bare();
        const double once = Measured();
        measured += once;
        state.SetIterationTime(once);
    }
    state.counters["of_memcpy"] = physical / measured;
}

}  // namespace

BENCHMARK(alone<bare<Action::kSwap>, Action::kSwap>)->Name("memcpy/swap")->UseManualTime();
BENCHMARK(alone<model_in_order<Action::kSwap>, Action::kSwap>)
    ->Name("relocate_in_order/swap")
    ->UseManualTime();
BENCHMARK(alone<model_fast<Action::kSwap>, Action::kSwap>)->Name("relocate/swap")->UseManualTime();
BENCHMARK(ratio<model_in_order<Action::kSwap>, bare<Action::kSwap>>)
    ->Name("relocate_in_order/swap/ratio")
    ->UseManualTime();
BENCHMARK(ratio<model_fast<Action::kSwap>, bare<Action::kSwap>>)
    ->Name("relocate/swap/ratio")
    ->UseManualTime();
BENCHMARK(ratio<model_in_order<Action::kCopy>, bare<Action::kCopy>>)
    ->Name("relocate_in_order/copy/ratio")
    ->UseManualTime();
BENCHMARK(ratio<model_fast<Action::kCopy>, bare<Action::kCopy>>)
    ->Name("relocate/copy/ratio")
    ->UseManualTime();

BENCHMARK_MAIN();
