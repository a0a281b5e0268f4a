// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/list_maker.h"

#include <algorithm>

#include "model/kimage/builder.h"
#include "model/kimage/list_writer.h"

namespace jumpback::relocate_check {
namespace {

using kimage::Entry;

Entry destination(Gpa page) { return {page.raw | kimage::kIndDestination}; }
Entry source(Gpa page) { return {page.raw | kimage::kIndSource}; }

// Where sources are taken from, seen from their destinations.
enum class SourceOrder { kScattered, kAscending, kAsDestinations };

// kimage_alloc_page()'s allocator: the frames that a case may use, in random order, but first a
// control page that is not of this machine: the machine brings its own.
class RandomFrames final : public kimage::FrameSource {
  public:
    RandomFrames(std::vector<Gpa> frames, kimage::Word word) : frames_(std::move(frames)) {
        // No frame of any machine: far above all RAM; on i386, where control pages must be below
        // PAGE_OFFSET, in the hole at 640 KiB.
        control_ = Pfn{word == kimage::Word::k64 ? std::uint64_t{1} << 33 : 0xa0};
    }
    std::optional<Pfn> next(const kimage::FrameRequest& request) override {
        (void)request;
        if (!control_given_) {
            control_given_ = true;
            return control_;
        }
        if (at_ == frames_.size()) {
            return std::nullopt;
        }
        return pfn_of(frames_[at_++]);
    }

  private:
    std::vector<Gpa> frames_;
    std::size_t at_ = 0;
    Pfn control_;
    bool control_given_ = false;
};

}  // namespace

void ListMaker::lone_destinations(std::vector<Entry>& entries, std::uint64_t count) {
    for (; count > 0; --count) {
        entries.push_back(destination(pool_.any()));
    }
}

void ListMaker::add_list_frames(MadeList& list) {
    for (std::uint64_t count = kimage::list_pages_for(list.entries.size(), word_); count > 0;
         --count) {
        list.list_frames.push_back(pool_.take());
    }
}

MadeList ListMaker::raw(std::uint64_t pages) {
    MadeList list;
    // Room for sources and list pages (lone DESTINATIONs are few).
    const std::uint64_t reserve = 4 + pages / 64;
    const std::uint64_t room = pool_.left() > reserve ? (pool_.left() - reserve) / 2 : 0;
    pages = std::min(pages, room);
    const std::uint64_t longest = random_.one_in(3) ? 1 : 1 + random_.below(pages + 1);
    std::vector<std::vector<Gpa>> runs;
    for (std::uint64_t left = pages; left > 0;) {
        runs.push_back(pool_.take_run(std::min(left, longest)));
        left -= runs.back().size();
    }
    random_.shuffle(runs);
    const auto order = static_cast<SourceOrder>(random_.below(3));
    // Of 8 sources so many are their own destination.
    const std::uint64_t own = random_.one_in(2) ? 0 : random_.one_in(4) ? 8 : random_.below(8);
    Gpa last = pool_.any();
    for (const std::vector<Gpa>& run : runs) {
        if (random_.one_in(8)) {
            lone_destinations(list.entries, 1 + random_.below(3));
        }
        list.entries.push_back(destination(run.front()));
        for (const Gpa page : run) {
            if (random_.below(8) < own) {
                list.entries.push_back(source(page));
                continue;
            }
            if (order == SourceOrder::kScattered) {
                last = pool_.take();
            } else if (order == SourceOrder::kAscending) {
                last = pool_.take_from(last);
            } else {
                last = pool_.take_from(page);  // the nearest one above
            }
            list.entries.push_back(source(last));
        }
    }
    if (random_.one_in(8)) {
        lone_destinations(list.entries, 1);
    }
    add_list_frames(list);
    return list;
}

MadeList ListMaker::long_list(std::uint64_t pages) {
    MadeList list;
    const std::uint64_t fit = kimage::words_per_page(word_) - 1;
    const std::uint64_t full = 1 + random_.below(3);  // list pages
    // DONE as the first word of a page, as its last, and anywhere.
    const std::uint64_t length =
        random_.one_in(2) ? full * fit + random_.below(3) : full * fit + random_.below(fit);
    lone_destinations(list.entries, length);
    pages = std::min<std::uint64_t>(pages, (pool_.left() - full - 2) / 2);
    for (std::uint64_t border = fit; border <= length && pages > 0; border += fit) {
        const std::vector<Gpa> run = pool_.take_run(std::min<std::uint64_t>(pages, 5));
        pages -= run.size();
        // So that a DESTINATION or any of its SOURCEs is the last word before the link.
        std::uint64_t at = border - 1 - random_.below(run.size() + 1);
        list.entries[at] = destination(run.front());
        for (const Gpa page : run) {
            ++at;
            const Entry word = source(random_.one_in(6) ? page : pool_.take());
            if (at < list.entries.size()) {
                list.entries[at] = word;
            } else {
                list.entries.push_back(word);
            }
        }
    }
    add_list_frames(list);
    return list;
}

MadeList ListMaker::chained(std::uint64_t pages) {
    MadeList list;
    std::vector<Gpa> frames;
    for (std::uint64_t count = 2 + pages / 2; count > 0 && pool_.left() > 4; --count) {
        frames.push_back(pool_.take());
    }
    for (; pages > 0; --pages) {
        list.entries.push_back(destination(frames[random_.below(frames.size())]));
        list.entries.push_back(source(frames[random_.below(frames.size())]));
    }
    add_list_frames(list);
    return list;
}

MadeList ListMaker::kimage(std::uint64_t pages, const kimage::LoadRules& rules) {
    const std::vector<Gpa>& frames = pool_.all();
    // The allocator needs a frame for each page, some for the list, and may have to park some.
    pages = std::min<std::uint64_t>(pages, frames.size() / 3);
    std::vector<kimage::Segment> segments;
    std::uint64_t left = pages;
    while (left > 0 && segments.size() + 1 < rules.segment_max) {
        const std::vector<Gpa> run = pool_.take_run(1 + random_.below(left));
        const std::uint64_t length = run.size() * kPageSize;
        segments.push_back({random_.below(length + 1), run.front(), length});
        left -= run.size();
        if (random_.one_in(10)) {
            segments.push_back({0, pool_.any(), 0});  // as --load-jump-back-helper does
        }
    }
    if (segments.size() > rules.segment_max) {
        segments.resize(rules.segment_max);
    }
    random_.shuffle(segments);
    std::vector<Gpa> order = frames;
    random_.shuffle(order);
    RandomFrames allocator(std::move(order), word_);
    kimage::BuildPlan plan;
    plan.rules = &rules;
    plan.segments = segments;
    plan.swap_page = false;  // the machine's own
    kimage::BuildResult built = kimage::build(plan, allocator);
    MadeList list;
    if (built.error != 0) {
        return list;  // the allocator ran dry: an empty list is a case, too
    }
    for (const std::uint64_t raw : built.image.entries) {
        list.entries.push_back({raw});
    }
    list.list_frames = std::move(built.image.list_pages);
    return list;
}

}  // namespace jumpback::relocate_check
