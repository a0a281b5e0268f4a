// SPDX-License-Identifier: GPL-2.0-or-later
//
// Comparison of all RAM (256 MiB against 256 MiB, equal: the usual case) beside memcmp over the
// same bytes, which is what the memory of this host allows. Counters: bytes_per_second counts both
// sides. The last benchmark does both in turn and gives the ratio: 1.0 is memcmp's speed, the
// target is 0.8.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <random>
#include <vector>

#include "model/memory/compare.h"

namespace {

using jumpback::memory::compare_image;
using jumpback::memory::compare_ram;
using jumpback::memory::GuestRam;

constexpr std::size_t kBytes = std::size_t{256} << 20;

struct Memory {
    Memory() : left(kBytes), right(kBytes), pfns(kBytes / jumpback::kPageSize) {
        std::mt19937_64 random(1);
        for (std::size_t at = 0; at < kBytes; at += 8) {
            const std::uint64_t value = random();
            std::memcpy(left.data() + at, &value, 8);
        }
        right = left;
        for (std::size_t pfn = 0; pfn < pfns.size(); ++pfn) {
            pfns[pfn] = pfn;
        }
    }
    std::vector<std::byte> left, right;
    std::vector<std::uint64_t> pfns;
};

const Memory& memory() {
    static const Memory instance;
    return instance;
}

double seconds_of_memcmp() {
    const auto start = std::chrono::steady_clock::now();
    int result = std::memcmp(memory().left.data(), memory().right.data(), kBytes);
    benchmark::DoNotOptimize(result);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double seconds_of_compare_ram() {
    const GuestRam left = GuestRam::create(memory().left, {}).value();
    const GuestRam right = GuestRam::create(memory().right, {}).value();
    const auto start = std::chrono::steady_clock::now();
    auto result = compare_ram(left, right, {});
    benchmark::DoNotOptimize(result);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double seconds_of_compare_image() {
    const GuestRam ram = GuestRam::create(memory().right, {}).value();
    const auto start = std::chrono::steady_clock::now();
    auto result = compare_image({memory().pfns, memory().left, {}}, ram, {});
    benchmark::DoNotOptimize(result);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <double (*Measured)()>
void alone(benchmark::State& state) {
    memory();
    for (auto _ : state) {
        state.SetIterationTime(Measured());
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(2 * kBytes));
}

// Alternating, so that a host that slows down slows both.
template <double (*Measured)()>
void ratio_to_memcmp(benchmark::State& state) {
    memory();
    double measured = 0;
    double physical = 0;
    for (auto _ : state) {
        physical += seconds_of_memcmp();
        const double once = Measured();
        measured += once;
        state.SetIterationTime(once);
    }
    state.counters["of_memcmp"] = physical / measured;
}

}  // namespace

BENCHMARK(alone<seconds_of_memcmp>)->Name("memcmp/256MiB")->UseManualTime();
BENCHMARK(alone<seconds_of_compare_ram>)->Name("compare_ram/256MiB")->UseManualTime();
BENCHMARK(alone<seconds_of_compare_image>)->Name("compare_image/256MiB")->UseManualTime();
BENCHMARK(ratio_to_memcmp<seconds_of_compare_ram>)->Name("compare_ram/ratio")->UseManualTime();
BENCHMARK(ratio_to_memcmp<seconds_of_compare_image>)->Name("compare_image/ratio")->UseManualTime();

BENCHMARK_MAIN();
