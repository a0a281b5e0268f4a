// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a capture costs against a memcpy of the same resident bytes, in one run and round by round,
// so that a busy machine slows both alike. 256 MiB of RAM; the argument says how it is filled:
//   0  all of it resident
//   1  half of it, in runs of 1 MiB
//   2  half of it, every second page: as scattered as it can be
// ratio_warm: time over memcpy into a buffer that was written before.
// ratio_fresh: time over memcpy into newly mapped memory, what a plain program would do.
// The ways that were considered for CapturePool and RamFile::capture stand side by side.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include "vm/capture_pool.h"
#include "vm/copy_extents.h"

namespace {

using namespace jumpback;

constexpr std::uint64_t kSize = std::uint64_t{256} * 1024 * 1024;  // bytes
constexpr const char* kFolder = "/dev/shm";

// Seconds that `work` takes.
double timed(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

// RAM as a guest would leave it, and the two buffers to compare with.
class Bench {
  public:
    explicit Bench(std::int64_t layout) {
        std::string pattern = std::string(kFolder) + "/jumpback-bench-XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) {
            die("mkdtemp");
        }
        folder_ = pattern;
        write_ram(layout);
        ram_.emplace(RamFile::open(folder_ + "/ram", {{Gpa{0}, 0, Bytes{kSize}}}).value());
        extents_ = ram_->extents().value();
        warm_ = new_memory();
        copy(warm_.data());
    }
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;
    Bench(Bench&&) = delete;
    Bench& operator=(Bench&&) = delete;
    ~Bench() { std::filesystem::remove_all(folder_); }

    const RamFile& ram() const { return *ram_; }
    const std::vector<Extent>& extents() const { return extents_; }
    const std::string& folder() const { return folder_; }

    // One memcpy for each extent: the yardstick.
    void copy(std::byte* to) const {
        for (const Extent& extent : extents_) {
            std::memcpy(to + extent.offset, ram_->bytes().data() + extent.offset, extent.length);
        }
    }
    static Mapping new_memory() {
        void* address =
            ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (address == MAP_FAILED) {
            die("mmap");
        }
        return {address, kSize};
    }
    // Times `way` and both yardsticks in turn; `reset` runs untimed after each round.
    void run(
        benchmark::State& state, const std::function<void()>& way,
        const std::function<void()>& reset = [] {}) {
        double total = 0;
        double total_warm = 0;
        double total_fresh = 0;
        for ([[maybe_unused]] auto step : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
            const double seconds = timed(way);
            reset();
            total_warm += timed([&] { copy(warm_.data()); });
            const Mapping fresh = new_memory();
            total_fresh += timed([&] { copy(fresh.data()); });
            total += seconds;
            state.SetIterationTime(seconds);
        }
        const double bytes = static_cast<double>(total_length(extents_));
        state.counters["resident_MiB"] = bytes / (1024 * 1024);
        state.counters["GB/s"] = bytes * static_cast<double>(state.iterations()) / total / 1e9;
        state.counters["ratio_warm"] = total / total_warm;
        state.counters["ratio_fresh"] = total / total_fresh;
    }
    UniqueFd new_file() const {
        const std::string path = folder_ + "/new";
        UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (!fd.valid() || ::ftruncate(fd.get(), kSize) != 0) {
            die("new file");
        }
        ::unlink(path.c_str());
        return fd;
    }

  private:
    void write_ram(std::int64_t layout) const {
        const UniqueFd fd(::open((folder_ + "/ram").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!fd.valid() || ::ftruncate(fd.get(), kSize) != 0) {
            die("ram");
        }
        const std::uint64_t run = layout == 2 ? kPageSize : std::uint64_t{1024} * 1024;
        std::vector<std::uint64_t> words(run / 8);
        std::uint64_t value = 1;
        for (std::uint64_t at = 0; at < kSize; at += layout == 0 ? run : 2 * run) {
            for (std::uint64_t& word : words) {
                word = value += 0x9e3779b97f4a7c15;  // 2^64 / golden ratio: no page equals another
            }
            if (::pwrite(fd.get(), words.data(), run, static_cast<off_t>(at)) !=
                static_cast<ssize_t>(run)) {
                die("pwrite");
            }
        }
    }
    std::string folder_;
    std::optional<RamFile> ram_;
    std::vector<Extent> extents_;
    Mapping warm_;
};

void pool_capture(benchmark::State& state) {
    Bench bench(state.range(0));
    std::filesystem::create_directory(bench.folder() + "/pool");
    auto pool = CapturePool::create(bench.folder() + "/pool", Bytes{kSize}, 1).value();
    if (!pool.prepare(bench.ram())) {
        die("prepare");
    }
    bench.run(state, [&] { (void)pool.capture(bench.ram()).value(); });
}

// The first capture into a prepared slot, page tables of both sides populated but never used.
void pool_capture_first(benchmark::State& state) {
    Bench bench(state.range(0));
    const std::string folder = bench.folder() + "/pool";
    std::filesystem::create_directory(folder);
    std::optional<CapturePool> pool;
    const auto make = [&] {
        pool.reset();
        pool.emplace(CapturePool::create(folder, Bytes{kSize}, 1).value());
        if (!pool->prepare(bench.ram())) {
            die("prepare");
        }
    };
    make();
    bench.run(
        state, [&] { (void)pool->capture(bench.ram()).value(); }, make);
}

void pool_prepare(benchmark::State& state) {
    Bench bench(state.range(0));
    const std::string folder = bench.folder() + "/pool";
    std::filesystem::create_directory(folder);
    std::optional<CapturePool> pool;
    const auto make = [&] {
        pool.reset();
        pool.emplace(CapturePool::create(folder, Bytes{kSize}, 1).value());
    };
    make();
    bench.run(
        state,
        [&] {
            if (!pool->prepare(bench.ram())) {
                die("prepare");
            }
        },
        make);
}

void new_file_capture(benchmark::State& state) {
    Bench bench(state.range(0));
    const std::string path = bench.folder() + "/capture";
    bench.run(
        state, [&] { (void)bench.ram().capture(path).value(); },
        [&] { std::filesystem::remove(path); });
}

void way_copy_one_thread(benchmark::State& state) {
    Bench bench(state.range(0));
    const Mapping to = Bench::new_memory();
    bench.copy(to.data());
    bench.run(state, [&] { copy_extents(to.data(), bench.ram().bytes(), bench.extents(), 1); });
}

void way_copy_file_range(benchmark::State& state) {
    Bench bench(state.range(0));
    const UniqueFd from(::open((bench.folder() + "/ram").c_str(), O_RDONLY | O_CLOEXEC));
    UniqueFd to = bench.new_file();
    bench.run(
        state,
        [&] {
            for (const Extent& extent : bench.extents()) {
                auto in = static_cast<off64_t>(extent.offset);
                auto out = in;
                while (in < static_cast<off64_t>(extent.end())) {
                    const std::uint64_t left = extent.end() - static_cast<std::uint64_t>(in);
                    if (::copy_file_range(from.get(), &in, to.get(), &out, left, 0) <= 0) {
                        die("copy_file_range");
                    }
                }
            }
        },
        [&] { to = bench.new_file(); });
}

void way_sendfile(benchmark::State& state) {
    Bench bench(state.range(0));
    const UniqueFd from(::open((bench.folder() + "/ram").c_str(), O_RDONLY | O_CLOEXEC));
    UniqueFd to = bench.new_file();
    bench.run(
        state,
        [&] {
            for (const Extent& extent : bench.extents()) {
                auto in = static_cast<off_t>(extent.offset);
                ::lseek(to.get(), in, SEEK_SET);
                while (in < static_cast<off_t>(extent.end())) {
                    const std::uint64_t left = extent.end() - static_cast<std::uint64_t>(in);
                    if (::sendfile(to.get(), from.get(), &in, left) <= 0) {
                        die("sendfile");
                    }
                }
            }
        },
        [&] { to = bench.new_file(); });
}

void way_new_mapping(benchmark::State& state) {
    Bench bench(state.range(0));
    UniqueFd to = bench.new_file();
    bench.run(
        state,
        [&] {
            const Mapping map = Mapping::of_file(to.get(), kSize, true);
            bench.copy(map.data());
        },
        [&] { to = bench.new_file(); });
}

void way_fallocate_pwrite(benchmark::State& state) {
    Bench bench(state.range(0));
    UniqueFd to = bench.new_file();
    bench.run(
        state,
        [&] {
            for (const Extent& extent : bench.extents()) {
                (void)::fallocate(to.get(), 0, static_cast<off_t>(extent.offset),
                                  static_cast<off_t>(extent.length));
            }
            (void)write_extents(to.get(), bench.ram().bytes(), bench.extents(), "new");
        },
        [&] { to = bench.new_file(); });
}

void way_pwrite_warm_file(benchmark::State& state) {
    Bench bench(state.range(0));
    const UniqueFd to = bench.new_file();
    (void)write_extents(to.get(), bench.ram().bytes(), bench.extents(), "new");
    bench.run(state,
              [&] { (void)write_extents(to.get(), bench.ram().bytes(), bench.extents(), "new"); });
}

// A memfd with huge pages, where the kernel gives them on advice (shmem_enabled=advise).
void way_huge_pages(benchmark::State& state) {
    Bench bench(state.range(0));
    UniqueFd to;
    const auto make = [&] {
        to.reset(::memfd_create("huge", MFD_CLOEXEC));
        if (::ftruncate(to.get(), kSize) != 0) {
            die("memfd");
        }
    };
    make();
    bench.run(
        state,
        [&] {
            const Mapping map = Mapping::of_file(to.get(), kSize, true);
            (void)::madvise(map.data(), kSize, MADV_HUGEPAGE);
            bench.copy(map.data());
        },
        make);
}

#define CAPTURE_BENCHMARK(name)                                               \
    BENCHMARK(name)->DenseRange(0, 2)->UseManualTime()->Iterations(10)->Unit( \
        benchmark::kMillisecond)
CAPTURE_BENCHMARK(pool_capture);
CAPTURE_BENCHMARK(pool_capture_first);
CAPTURE_BENCHMARK(pool_prepare);
CAPTURE_BENCHMARK(new_file_capture);
CAPTURE_BENCHMARK(way_copy_one_thread);
CAPTURE_BENCHMARK(way_copy_file_range);
CAPTURE_BENCHMARK(way_sendfile);
CAPTURE_BENCHMARK(way_new_mapping);
CAPTURE_BENCHMARK(way_fallocate_pwrite);
CAPTURE_BENCHMARK(way_pwrite_warm_file);
CAPTURE_BENCHMARK(way_huge_pages);

}  // namespace
