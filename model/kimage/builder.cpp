// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/builder.h"

#include <algorithm>
#include <cerrno>

#include "model/kimage/control_pages.h"
#include "model/kimage/destinations.h"
#include "model/memory/text.h"

namespace jumpback::kimage {
namespace {

using memory::hex;

constexpr std::uint64_t kNoDestination = ~std::uint64_t{0};  // KIMAGE_NO_DEST
// Entries of a 32 GiB image. Segments may claim more than there are frames for.
constexpr std::uint64_t kReserve = std::uint64_t{1} << 23;

template <typename Destinations>
class Builder {
  public:
    Builder(const BuildPlan& plan, FrameSource& frames)
        : plan_(plan),
          frames_(frames),
          words_per_list_page_(words_per_page(plan.rules->word()) - 1),
          last_source_pfn_(plan.rules->source_limit(plan.setup) >> kPageShift),
          destinations_(*plan.rules, plan.segments, result_.image.entries) {
        result_.image.word = plan.rules->word();
        std::uint64_t entries = 0;
        for (const Segment& segment : plan.segments) {
            entries += segment.pages() + 1;
        }
        result_.image.entries.reserve(std::min(entries, kReserve));
    }
    Builder(const Builder&) = delete;  // destinations_ looks at result_
    Builder& operator=(const Builder&) = delete;
    Builder(Builder&&) = delete;
    Builder& operator=(Builder&&) = delete;
    ~Builder() = default;

    BuildResult run() {
        const bool done = take_control_pages() && load_segments();
        result_.error = done ? 0 : ENOMEM;
        result_.cost.steps = destinations_.steps();
        result_.image.dest_pages = destinations_.still_parked();
        if (!done) {
            release(result_.image, frames_);
        }
        return std::move(result_);
    }

  private:
    bool take_control_pages() {
        ControlPages pages(*plan_.rules, plan_.setup, frames_,
                           [this](std::uint64_t start, std::uint64_t count) {
                               return destinations_.in_range(start, count);
                           });
        const bool done = pages.take_all(plan_, result_.image, result_.text);
        result_.cost.frames += pages.frames();
        return done;
    }

    // kimage_load_normal_segment()
    bool load_segments() {
        for (const Segment& segment : plan_.segments) {
            if (!add_entry(segment.mem.raw | kIndDestination)) {
                return false;
            }
            for (std::uint64_t at = segment.mem.raw; at != segment.end(); at += kPageSize) {
                const std::optional<Gpa> page = alloc_page(at, true);
                if (!page) {
                    result_.text = "no frame left for the page of destination " + hex(at);
                    return false;
                }
                if (!add_entry(page->raw | kIndSource)) {
                    return false;
                }
                destinations_.added(result_.image.entries.size() - 1, Gpa{at});
            }
        }
        return true;
    }

    // kimage_add_entry(): the last word of a list page is the link to the next.
    bool add_entry(std::uint64_t raw) {
        std::vector<std::uint64_t>& entries = result_.image.entries;
        if (entries.size() == result_.image.list_pages.size() * words_per_list_page_) {
            const std::optional<Gpa> page = alloc_page(kNoDestination, false);
            if (!page) {
                result_.text = "no frame left for list page " +
                               std::to_string(result_.image.list_pages.size());
                return false;
            }
            result_.image.list_pages.push_back(*page);
        }
        entries.push_back(raw);
        return true;
    }

    // kimage_alloc_page()
    std::optional<Gpa> alloc_page(std::uint64_t destination, bool highmem) {
        if (destination != kNoDestination && destinations_.take_parked(Gpa{destination})) {
            return Gpa{destination};
        }
        while (true) {
            const std::optional<Pfn> pfn = frames_.next({0, highmem});
            if (!pfn) {
                return std::nullopt;
            }
            ++result_.cost.frames;
            const Gpa page = gpa_of(*pfn);
            if (pfn->raw > last_source_pfn_) {
                result_.image.unusable_pages.push_back(page);
                continue;
            }
            if (page.raw == destination || !destinations_.in_range(page.raw, kPageSize)) {
                return page;
            }
            const std::optional<std::uint64_t> user = destinations_.used_by(page);
            if (!user) {
                destinations_.park(page);
                continue;
            }
            // That entry moves onto its own destination; the frame it had is free for this one.
            std::uint64_t& entry = result_.image.entries[*user];
            const Gpa old = Entry{entry}.page();
            entry = page.raw | (entry & (kPageSize - 1));
            ++result_.cost.moved;
            if (!highmem && frames_.is_highmem(pfn_of(old))) {
                frames_.release(pfn_of(old), 0);
                continue;
            }
            return old;
        }
    }

    const BuildPlan& plan_;
    FrameSource& frames_;
    std::uint64_t words_per_list_page_;
    std::uint64_t last_source_pfn_;
    BuildResult result_;
    Destinations destinations_;
};

}  // namespace

BuildResult build(const BuildPlan& plan, FrameSource& frames) {
    if (plan.lookup == Lookup::kLinear) {
        return Builder<LinearDestinations>(plan, frames).run();
    }
    return Builder<HashedDestinations>(plan, frames).run();
}

}  // namespace jumpback::kimage
