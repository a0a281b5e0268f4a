// SPDX-License-Identifier: GPL-2.0-or-later
//
// How fast an image is read, beside what bounds it: the bare decompressor over the same units in
// the same loop (counter of_bare: 0.8 is the target), and memcpy of the same bytes (counter
// of_memcpy).
#include <benchmark/benchmark.h>

#include <cstring>
#include <ctime>
#include <random>

#include "model/image/codec.h"
#include "model/image/swsusp_image.h"
#include "model/image/tests/image_fixture.h"

namespace jumpback::swsusp {
namespace {

// CPU time of this thread: other load on the machine must not tilt a ratio.
double cpu_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double seconds_of(const auto& work) {
    const double start = cpu_seconds();
    work();
    return cpu_seconds() - start;
}

// 64 MiB of text, structures, noise and zeros on a contiguous or a fragmented swap area.
std::vector<std::byte> disk_with(Compression compression, bool scattered) {
    constexpr std::size_t kFrames = 16384;
    std::mt19937_64 random(20260);
    const ImageSpec spec = testing::make_spec({Arch::x86_64, kFrames, false, false}, random);
    Placement placement;
    placement.compression = compression;
    if (scattered) {
        placement.scatter_seed = 20260;
    }
    return testing::make_disk(spec, placement, kFrames + 2048);
}

// Every unit's compressed bytes in place, and where they go: what a bare loop over the decompressor
// needs.
struct Chunks {
    std::vector<std::vector<std::byte>> packed;
    std::vector<std::size_t> sizes;
};

Chunks chunks_of(ByteView disk, const HibernationImage& image) {
    Chunks chunks;
    std::vector<std::byte> scratch;
    for (const Unit& unit : image.units()) {
        const ByteView bytes = unit_bytes(disk, image.swap_map(), unit, Arch::x86_64, scratch);
        chunks.packed.emplace_back(bytes.begin(), bytes.end());
        chunks.sizes.push_back(unit.uncompressed);
    }
    return chunks;
}

void decompress_all(Compression compression, const Chunks& chunks, ByteSpan out) {
    std::size_t at = 0;
    for (std::size_t i = 0; i < chunks.packed.size(); ++i) {
        auto written = decompress(compression, chunks.packed[i], out.subspan(at, chunks.sizes[i]));
        benchmark::DoNotOptimize(written);
        at += chunks.sizes[i];
    }
}

void report(benchmark::State& state, std::size_t bytes, double read, double copy) {
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes) *
                            static_cast<std::int64_t>(state.iterations()));
    state.counters["of_memcpy"] = copy / read;
}

void read_compressed(benchmark::State& state, Compression compression, bool scattered) {
    const auto disk = disk_with(compression, scattered);
    const HibernationImage image = testing::must(read_image(disk));
    const Chunks chunks = chunks_of(disk, image);
    std::vector<std::byte> out(image.stream().size());
    std::vector<std::byte> copy(image.stream().size());
    double read = 0;
    double bare = 0;
    double warm = 0;
    double copied = 0;
    for (auto _ : state) {
        const double once = seconds_of([&] {
            auto result = read_image(disk);
            benchmark::DoNotOptimize(result.value().data().data());
        });
        state.SetIterationTime(once);
        read += once;
        bare += seconds_of([&] {
            StreamBuffer fresh(out.size());
            decompress_all(compression, chunks, fresh.bytes());
        });
        warm += seconds_of([&] { decompress_all(compression, chunks, out); });
        copied += seconds_of([&] {
            std::memcpy(copy.data(), out.data(), out.size());
            benchmark::DoNotOptimize(copy.data());
        });
    }
    report(state, out.size(), read, copied);
    state.counters["of_bare"] = bare / read;
    state.counters["of_bare_warm"] = warm / read;
}

void read_raw(benchmark::State& state, bool scattered) {
    const auto disk = disk_with(Compression::none, scattered);
    const HibernationImage image = testing::must(read_image(disk));
    std::vector<std::byte> copy(image.stream().begin(), image.stream().end());
    double read = 0;
    double copied = 0;
    for (auto _ : state) {
        const double once = seconds_of([&] {
            auto result = read_image(disk);
            benchmark::DoNotOptimize(result.value().data().data());
        });
        state.SetIterationTime(once);
        read += once;
        copied += seconds_of([&] {
            std::memcpy(copy.data(), image.stream().data(), copy.size());
            benchmark::DoNotOptimize(copy.data());
        });
    }
    report(state, copy.size(), read, copied);
}

BENCHMARK_CAPTURE(read_compressed, lzo, Compression::lzo, false)->UseManualTime()->MinTime(1.5);
BENCHMARK_CAPTURE(read_compressed, lzo_scattered, Compression::lzo, true)
    ->UseManualTime()
    ->MinTime(1.5);
BENCHMARK_CAPTURE(read_compressed, lz4, Compression::lz4, false)->UseManualTime()->MinTime(1.5);
BENCHMARK_CAPTURE(read_compressed, lz4_scattered, Compression::lz4, true)
    ->UseManualTime()
    ->MinTime(1.5);
BENCHMARK_CAPTURE(read_raw, contiguous, false)->UseManualTime()->MinTime(1.5);
BENCHMARK_CAPTURE(read_raw, scattered, true)->UseManualTime()->MinTime(1.5);

}  // namespace
}  // namespace jumpback::swsusp
