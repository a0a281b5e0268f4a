// SPDX-License-Identifier: GPL-2.0-or-later
//
// Building the page list of an image, with the map from destination to entry and with the kernel's
// walks. How often a destination has to be looked up depends on the frames that the allocator hands
// out, so there are three of them:
//
//   apart    no frame is a destination: nothing to look up
//   average  all of RAM in random order; the image is as large as kexec_load allows, half of RAM
//   worst    every frame is the destination of the page before it
//
// Names: list_build/LOOKUP/ALLOCATOR/SIZE. Counters: pages, seconds and ns_per_page of the fastest
// build (what a plot needs); steps: entries and parked pages looked at, for each page.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "model/kimage/bench/cpu_clock.h"
#include "model/kimage/builder.h"

namespace {

using namespace jumpback;          // NOLINT: one file, no header
using namespace jumpback::kimage;  // NOLINT

constexpr std::uint64_t kFirstDestination = 0x1'0000;  // pfn: 256 MiB

// Frames of an endless free stretch far above all destinations.
class Apart : public FrameSource {
  public:
    std::optional<Pfn> next(const FrameRequest& request) override {
        const std::uint64_t first = next_;
        next_ += std::uint64_t{1} << request.order;
        return Pfn{first};
    }

  private:
    std::uint64_t next_ = std::uint64_t{1} << 30;
};

class Worst final : public Apart {
  public:
    std::optional<Pfn> next(const FrameRequest& request) override {
        if (!request.highmem || first_) {  // control and list pages, and the first source
            first_ = first_ && !request.highmem;
            return Apart::next(request);
        }
        return Pfn{next_++};
    }

  private:
    bool first_ = true;
    std::uint64_t next_ = kFirstDestination;
};

class Average final : public FrameSource {
  public:
    explicit Average(const std::vector<std::uint32_t>& order) : order_(order) {}
    std::optional<Pfn> next(const FrameRequest&) override {
        return at_ == order_.size() ? std::nullopt : std::optional(Pfn{order_[at_++]});
    }

  private:
    const std::vector<std::uint32_t>& order_;
    std::size_t at_ = 0;
};

// RAM of twice the image, some more for control and list pages, in random order. The image's
// destinations lie inside.
const std::vector<std::uint32_t>& random_order(std::uint64_t pages) {
    static std::vector<std::uint32_t> order;
    static std::uint64_t made_for = 0;
    if (made_for != pages) {
        const std::uint64_t first = kFirstDestination - std::min(pages, kFirstDestination) / 2;
        order.resize(2 * pages + pages / 256 + 64);
        for (std::size_t at = 0; at < order.size(); ++at) {
            order[at] = static_cast<std::uint32_t>(first + at);
        }
        std::mt19937_64 random(20080513);
        std::shuffle(order.begin(), order.end(), random);
        made_for = pages;
    }
    return order;
}

enum class Frames { kApart, kAverage, kWorst };

std::unique_ptr<FrameSource> frames_for(Frames kind, std::uint64_t pages) {
    if (kind == Frames::kAverage) {
        return std::make_unique<Average>(random_order(pages));
    }
    return kind == Frames::kWorst ? std::make_unique<Worst>() : std::make_unique<Apart>();
}

void list_build(benchmark::State& state, Lookup lookup, Frames kind) {
    const std::uint64_t pages = static_cast<std::uint64_t>(state.range(0)) << (20 - kPageShift);
    const std::vector<Segment> segments = {{0, gpa_of(Pfn{kFirstDestination}), pages * kPageSize}};
    BuildPlan plan;
    plan.rules = find_rules("7.3", Arch::kX86_64)->rules;
    plan.segments = segments;
    plan.lookup = lookup;
    double seconds = 1e9;
    std::uint64_t steps = 0;
    for (auto _ : state) {
        const std::unique_ptr<FrameSource> frames = frames_for(kind, pages);
        const auto start = cpu_seconds();
        const BuildResult result = build(plan, *frames);
        const double once = cpu_seconds() - start;
        if (result.error != 0 || result.image.entries.size() != pages + 1) {
            state.SkipWithError(("no image: " + result.text).c_str());
            return;
        }
        state.SetIterationTime(once);
        seconds = std::min(seconds, once);
        steps = result.cost.steps;
    }
    state.counters["pages"] = static_cast<double>(pages);
    state.counters["seconds"] = seconds;
    state.counters["ns_per_page"] = seconds * 1e9 / static_cast<double>(pages);
    state.counters["steps_per_page"] = static_cast<double>(steps) / static_cast<double>(pages);
}

void add(const std::string& lookup_name, Lookup lookup, const std::string& frames_name, Frames kind,
         std::initializer_list<std::int64_t> sizes) {
    for (const std::int64_t size : sizes) {
        const std::string text =
            size % 1024 == 0 ? std::to_string(size / 1024) + "GiB" : std::to_string(size) + "MiB";
        const std::string name = "list_build/" + lookup_name + "/" + frames_name + "/" + text;
        auto* bench = benchmark::RegisterBenchmark(
            name.c_str(), [=](benchmark::State& state) { list_build(state, lookup, kind); });
        bench->Arg(size)->UseManualTime()->Unit(benchmark::kMillisecond);
        if (lookup == Lookup::kLinear && kind != Frames::kApart) {
            bench->Iterations(1);  // seconds to minutes
        }
    }
}

const bool registered = [] {
    const std::initializer_list<std::int64_t> large = {64, 256, 1024, 4096, 16384};
    const std::initializer_list<std::int64_t> small = {8, 16, 32, 64, 128, 256, 512};
    add("hashed", Lookup::kHashed, "apart", Frames::kApart, large);
    add("hashed", Lookup::kHashed, "average", Frames::kAverage, large);
    add("hashed", Lookup::kHashed, "worst", Frames::kWorst, large);
    add("linear", Lookup::kLinear, "apart", Frames::kApart, large);
    add("linear", Lookup::kLinear, "average", Frames::kAverage, small);
    add("linear", Lookup::kLinear, "worst", Frames::kWorst, small);
    return true;
}();

}  // namespace
