// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading the page list of a 16 GiB image (4 Mi pages: 32 MiB of list) out of guest RAM, beside
// plainly reading the memory that the list stands in: adding up all its words, page by page. Both
// in turn in one loop, and the fastest of each counts, in CPU time: others on the host only ever
// slow them down. Counters of list_decode/WHAT/HOW:
//
//   of_read          time of the plain read / time of the decoding
//   of_mark          the same with a plain loop that marks each word's frame in a bitmap: the least
//                    that it takes to tell a frame that comes twice
//   of_read_write    the same with a plain loop that writes one Move for each word: what handing
//                    the moves out costs by itself (twice the list's size, into fresh memory)
//   bytes_per_second of list; bytes_per_second_read: of the plain read
//
// WHAT: check (moves are checked, not kept) or moves. HOW: rising (sources in the order of their
// addresses) or scattered (in random order).
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "model/kimage/bench/cpu_clock.h"
#include "model/kimage/list_writer.h"
#include "model/kimage/page_list.h"

namespace {

using namespace jumpback;          // NOLINT: one file, no header
using namespace jumpback::kimage;  // NOLINT

constexpr std::uint64_t kPages = std::uint64_t{16} << (30 - kPageShift);

// Guest RAM of 40 GiB of which only what is written to exists: 16 GiB of destinations, as many
// sources, and the list pages between the sources, as one allocator gives them.
class Guest {
  public:
    explicit Guest(bool scattered) {
        const std::size_t bytes = std::size_t{40} << 30;
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            return;
        }
        buffer_ = {static_cast<std::byte*>(memory), bytes};
        ram_ =
            std::make_unique<memory::WritableRam>(memory::WritableRam::create(buffer_, {}).value());
        const std::uint64_t fit = words_per_page(Word::k64) - 1;
        std::uint64_t frame = std::uint64_t{20} << (30 - kPageShift);
        DestinationRun run{gpa_of(Pfn{0x100}), {}};
        run.sources.reserve(kPages);
        for (std::uint64_t at = 0; at < kPages; ++at) {
            if ((at + 1) % fit == 0 || at == 0) {
                list_frames_.push_back(gpa_of(Pfn{frame++}));
            }
            run.sources.push_back(gpa_of(Pfn{frame++}));
        }
        list_frames_.push_back(gpa_of(Pfn{frame++}));
        if (scattered) {
            std::mt19937_64 random(20080513);
            std::shuffle(run.sources.begin(), run.sources.end(), random);
        }
        head_ = write_list(*ram_, {&run, 1}, list_frames_, Word::k64).value();
    }
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    Guest(Guest&&) = delete;
    Guest& operator=(Guest&&) = delete;
    ~Guest() {
        if (!buffer_.empty()) {
            munmap(buffer_.data(), buffer_.size());
        }
    }

    [[nodiscard]] bool ok() const { return ram_ != nullptr; }
    [[nodiscard]] std::uint64_t list_bytes() const { return list_frames_.size() * kPageSize; }
    [[nodiscard]] Result<PageList> decode(bool keep_moves) const {
        DecodeRules rules;
        rules.keep_moves = keep_moves;
        return kimage::decode(ram_->view(), head_, Word::k64, rules);
    }
    // All words of the list's pages, each read once.
    [[nodiscard]] std::uint64_t read() const {
        std::uint64_t sum = 0;
        for (const Gpa page : list_frames_) {
            const std::byte* bytes = ram_->view().page_or_null(pfn_of(page));
            for (std::uint64_t at = 0; at < kPageSize; at += 8) {
                std::uint64_t word = 0;
                std::memcpy(&word, bytes + at, 8);
                sum += word;
            }
        }
        return sum;
    }
    // Marks the frame of each word in a bitmap of all frames, and counts those that were marked.
    [[nodiscard]] std::uint64_t mark() const {
        std::vector<std::uint64_t> marks(buffer_.size() >> (kPageShift + 6));
        std::uint64_t twice = 0;
        for (const Gpa page : list_frames_) {
            const std::byte* bytes = ram_->view().page_or_null(pfn_of(page));
            for (std::uint64_t at = 0; at < kPageSize; at += 8) {
                std::uint64_t word = 0;
                std::memcpy(&word, bytes + at, 8);
                std::uint64_t& place = marks[word >> (kPageShift + 6)];
                const std::uint64_t bit = std::uint64_t{1} << (word >> kPageShift) % 64;
                twice += (place & bit) != 0 ? 1 : 0;
                place |= bit;
            }
        }
        return twice;
    }
    // One Move for each word, without any check.
    [[nodiscard]] std::vector<Move> read_and_write() const {
        std::vector<Move> moves;
        moves.reserve(list_frames_.size() * words_per_page(Word::k64));
        std::uint64_t destination = 0;
        for (const Gpa page : list_frames_) {
            const std::byte* bytes = ram_->view().page_or_null(pfn_of(page));
            for (std::uint64_t at = 0; at < kPageSize; at += 8) {
                std::uint64_t word = 0;
                std::memcpy(&word, bytes + at, 8);
                moves.push_back({Gpa{destination}, Gpa{word & ~kIndFlags}});
                destination += kPageSize;
            }
        }
        return moves;
    }

  private:
    std::span<std::byte> buffer_;
    std::unique_ptr<memory::WritableRam> ram_;
    std::vector<Gpa> list_frames_;
    std::uint64_t head_ = 0;
};

double seconds_of(const std::function<void()>& work) {
    const auto start = cpu_seconds();
    work();
    return cpu_seconds() - start;
}

void list_decode(benchmark::State& state, bool keep_moves, bool scattered) {
    const Guest guest(scattered);
    if (!guest.ok()) {
        state.SkipWithError("no address space for 40 GiB");
        return;
    }
    double reading = 1e9;
    double marking = 1e9;
    double writing = 1e9;
    double decoding = 1e9;
    for (auto _ : state) {
        reading = std::min(reading, seconds_of([&] { benchmark::DoNotOptimize(guest.read()); }));
        marking = std::min(marking, seconds_of([&] { benchmark::DoNotOptimize(guest.mark()); }));
        writing = std::min(writing,
                           seconds_of([&] { benchmark::DoNotOptimize(guest.read_and_write()); }));
        std::uint64_t moves = 0;
        const double once = seconds_of([&] {
            const Result<PageList> list = guest.decode(keep_moves);
            moves = list.ok() ? list->move_count : 0;
        });
        if (moves != kPages) {
            state.SkipWithError("the list was not read");
            return;
        }
        decoding = std::min(decoding, once);
        state.SetIterationTime(once);
    }
    const auto bytes = static_cast<double>(guest.list_bytes());
    state.counters["bytes_per_second"] = bytes / decoding;
    state.counters["bytes_per_second_read"] = bytes / reading;
    state.counters["of_read"] = reading / decoding;
    state.counters["of_mark"] = marking / decoding;
    state.counters["of_read_write"] = writing / decoding;
    state.counters["ns_per_page"] = decoding * 1e9 / static_cast<double>(kPages);
}

BENCHMARK_CAPTURE(list_decode, check_rising, false, false)
    ->Name("list_decode/check/rising")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(list_decode, check_scattered, false, true)
    ->Name("list_decode/check/scattered")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(list_decode, moves_rising, true, false)
    ->Name("list_decode/moves/rising")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(list_decode, moves_scattered, true, true)
    ->Name("list_decode/moves/scattered")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
