// SPDX-License-Identifier: GPL-2.0-or-later
//
// Loading a vmlinux and looking addresses up. Set JUMPBACK_BENCH_VMLINUX to a vmlinux.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "vm/vmlinux.h"

namespace {

using jumpback::Vmlinux;

void load_vmlinux(benchmark::State& state) {
    const char* path = std::getenv("JUMPBACK_BENCH_VMLINUX");
    if (path == nullptr) {
        state.SkipWithError("JUMPBACK_BENCH_VMLINUX names no vmlinux");
        return;
    }
    std::size_t symbols = 0;
    for ([[maybe_unused]] auto step : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        symbols = Vmlinux::open(path).value().table().sorted().size();
    }
    state.counters["symbols"] = static_cast<double>(symbols);
}
BENCHMARK(load_vmlinux)->Unit(benchmark::kMillisecond);

void find_by_address(benchmark::State& state) {
    const char* path = std::getenv("JUMPBACK_BENCH_VMLINUX");
    if (path == nullptr) {
        state.SkipWithError("JUMPBACK_BENCH_VMLINUX names no vmlinux");
        return;
    }
    const Vmlinux kernel = Vmlinux::open(path).value();
    const auto& symbols = kernel.table().sorted();
    std::size_t i = 0;
    for ([[maybe_unused]] auto step : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
        i = (i + 7919) % symbols.size();        // a prime: scattered over the table
        benchmark::DoNotOptimize(kernel.find(jumpback::Gva{symbols[i].address.raw + 3}));
    }
}
BENCHMARK(find_by_address);

}  // namespace
