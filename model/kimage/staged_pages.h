// SPDX-License-Identifier: GPL-2.0-or-later
//
// The pages of a staged load while it is under way: a map from destination to source, grown segment
// by segment. What kimage_alloc_page() promises holds after every segment: a source is its own
// destination or nobody's. As later segments are not known yet, that takes one step more than in a
// load of one call: a frame that serves as a source and turns out to be a destination is given to
// that destination, and the page that it held moves to another frame.
//
// Sources change only while pages are added for destinations that had none. So the map that user
// space has read stays true as long as it writes to destinations that are there already, which is
// how it hands the map over.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/kimage/entry.h"
#include "model/kimage/frame_map.h"
#include "model/kimage/frame_source.h"
#include "model/kimage/load_rules.h"
#include "model/kimage/page_content.h"
#include "model/kimage/range_set.h"
#include "model/kimage/segment.h"

namespace jumpback::kimage {

class StagedPages {
  public:
    StagedPages(const LoadRules& rules, const KernelSetup& setup, FrameSource& frames)
        : last_source_pfn_(rules.source_limit(setup) >> kPageShift), frames_(frames) {}

    // Makes these ranges destinations, before any of their pages is added.
    void announce(std::span<const Segment> segments);
    // Pages of all announced ranges, each counted once.
    [[nodiscard]] std::uint64_t announced() const { return announced_; }
    // The pages of one announced segment; `number` counts all segments of the load. A page that an
    // earlier segment has too now holds this one's bytes (and zeros), whole. False: out of memory.
    bool add(const Segment& segment, std::uint64_t number);

    // By ascending destination.
    [[nodiscard]] std::vector<Move> moves() const;
    [[nodiscard]] std::vector<PageContent> contents() const;  // in the order of moves()
    [[nodiscard]] const RangeSet& ranges() const { return ranges_; }
    [[nodiscard]] std::uint64_t count() const { return pages_.size(); }
    [[nodiscard]] std::uint64_t evicted() const { return evicted_; }  // pages that had to move

    [[nodiscard]] std::vector<Gpa> parked() const;
    [[nodiscard]] const std::vector<Gpa>& unusable() const { return unusable_; }
    // Gives back every frame.
    void release_all();

  private:
    struct Page {
        Gpa destination, source;
        std::uint64_t segment = 0;  // whose bytes it holds
        std::uint64_t offset = 0;   // of the page in that segment
        std::uint64_t bytes = 0;    // from the buffer
    };

    std::optional<Gpa> source_for(Gpa destination);
    std::optional<Gpa> alloc_page(Gpa destination);
    void set_source(std::uint64_t page, Gpa source);
    template <typename Visit>
    void by_destination(Visit visit) const;

    std::uint64_t last_source_pfn_;
    FrameSource& frames_;
    RangeSet ranges_;
    std::uint64_t announced_ = 0;
    std::vector<Page> pages_;
    FrameMap by_destination_, by_source_, parked_;
    std::vector<Gpa> ever_parked_, unusable_;
    std::uint64_t evicted_ = 0;
};

}  // namespace jumpback::kimage
