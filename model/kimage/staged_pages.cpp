// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/staged_pages.h"

namespace jumpback::kimage {

void StagedPages::announce(std::span<const Segment> segments) {
    for (const Segment& segment : segments) {
        announced_ += ranges_.add(segment.mem.raw, segment.end()) >> kPageShift;
    }
}

bool StagedPages::add(const Segment& segment, std::uint64_t number) {
    for (std::uint64_t offset = 0; offset < segment.memsz; offset += kPageSize) {
        const Gpa destination{segment.mem.raw + offset};
        std::optional<std::uint64_t> page = by_destination_.find(pfn_of(destination).raw);
        if (!page) {
            const std::optional<Gpa> source = source_for(destination);
            if (!source) {
                return false;
            }
            page = pages_.size();
            pages_.push_back({destination, *source, 0, 0, 0});
            by_destination_.set(pfn_of(destination).raw, *page);
            by_source_.set(pfn_of(*source).raw, *page);
        }
        pages_[*page].segment = number;
        pages_[*page].offset = offset;
        pages_[*page].bytes = bytes_at(segment, offset);
    }
    return true;
}

// A frame for the page of `destination`, which has none. If its own frame is another page's source,
// that page moves away first.
std::optional<Gpa> StagedPages::source_for(Gpa destination) {
    const std::optional<std::uint64_t> tenant = by_source_.find(pfn_of(destination).raw);
    if (!tenant) {
        return alloc_page(destination);
    }
    const std::optional<Gpa> refuge = alloc_page(pages_[*tenant].destination);
    if (!refuge) {
        return std::nullopt;
    }
    // Only now: a page that gave way in alloc_page() was never the tenant, whose own destination
    // was what alloc_page() would have been satisfied with.
    ++evicted_;
    set_source(*tenant, *refuge);
    return destination;
}

// kimage_alloc_page(), with the maps in place of its walks.
std::optional<Gpa> StagedPages::alloc_page(Gpa destination) {
    if (parked_.find(pfn_of(destination).raw)) {
        parked_.erase(pfn_of(destination).raw);
        return destination;
    }
    while (const std::optional<Pfn> pfn = frames_.next({0, true})) {
        const Gpa frame = gpa_of(*pfn);
        if (pfn->raw > last_source_pfn_) {
            unusable_.push_back(frame);
            continue;
        }
        if (frame == destination || !ranges_.touches(frame.raw, frame.raw + kPageSize)) {
            return frame;
        }
        const std::optional<std::uint64_t> page = by_destination_.find(pfn->raw);
        if (page) {
            const Gpa old = pages_[*page].source;
            set_source(*page, frame);
            return old;
        }
        parked_.set(pfn->raw, 0);
        ever_parked_.push_back(frame);
    }
    return std::nullopt;
}

// The old source goes on standing for this page, until its next user puts itself there.
void StagedPages::set_source(std::uint64_t page, Gpa source) {
    pages_[page].source = source;
    by_source_.set(pfn_of(source).raw, page);
}

// Visits the pages in order of their destinations without sorting them: the ranges are sorted, and
// every page of a range is there once a call is done.
template <typename Visit>
void StagedPages::by_destination(Visit visit) const {
    for (const auto& [start, end] : ranges_.ranges()) {
        for (std::uint64_t at = start; at < end; at += kPageSize) {
            if (const auto page = by_destination_.find(at >> kPageShift)) {
                visit(pages_[*page]);
            }
        }
    }
}

std::vector<Move> StagedPages::moves() const {
    std::vector<Move> moves;
    moves.reserve(pages_.size());
    by_destination([&](const Page& page) { moves.push_back({page.destination, page.source}); });
    return moves;
}

std::vector<PageContent> StagedPages::contents() const {
    std::vector<PageContent> contents;
    contents.reserve(pages_.size());
    by_destination([&](const Page& page) {
        contents.push_back({page.source, page.segment, page.offset, page.bytes});
    });
    return contents;
}

std::vector<Gpa> StagedPages::parked() const {
    std::vector<Gpa> left;
    for (const Gpa frame : ever_parked_) {
        if (parked_.find(pfn_of(frame).raw)) {
            left.push_back(frame);
        }
    }
    return left;
}

void StagedPages::release_all() {
    for (const Gpa frame : parked()) {
        frames_.release(pfn_of(frame), 0);
    }
    for (const Gpa frame : unusable_) {
        frames_.release(pfn_of(frame), 0);
    }
    for (const Page& page : pages_) {
        frames_.release(pfn_of(page.source), 0);
    }
}

}  // namespace jumpback::kimage
