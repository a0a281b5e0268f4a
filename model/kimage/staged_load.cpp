// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/staged_load.h"

#include <cerrno>

#include "model/kimage/control_pages.h"
#include "model/kimage/list_writer.h"
#include "model/memory/text.h"

namespace jumpback::kimage {
namespace {

StageResult refused(int error, Refusal refusal, std::string text) {
    StageResult result;
    result.result = -error;
    result.refusal = refusal;
    result.text = std::move(text);
    return result;
}

StageResult refused(LoadVerdict verdict) {
    StageResult result;
    result.result = verdict.result;
    result.refusal = Refusal::kCheck;
    result.text = verdict.text;
    result.verdict = std::move(verdict);
    return result;
}

}  // namespace

StageResult StagedLoader::load(const LoadConditions& conditions, const LoadCall& call) {
    const Stage stage = stage_of(call.flags);
    LoadCall plain = call;
    plain.flags &= ~kKexecStageMask;
    LoadVerdict before = check_call(rules_, setup_, conditions, plain);
    if (!before.ok()) {
        // Among these are the lock and the caller's rights: the load under way may be another's.
        return refused(std::move(before));
    }
    if (stage == Stage::kFull && before.unloads) {
        if ((plain.flags & kKexecOnCrash) == 0) {
            unload();
        }
        return {};
    }
    if (StageResult order = refuse_order(stage, plain); !order.ok()) {
        return order;
    }
    if (stage == Stage::kFull) {
        return full(conditions, plain);
    }
    StageResult result = stage_call(stage, conditions, plain);
    if (!result.ok()) {
        drop_open();
        result.dropped = true;
    }
    return result;
}

// Whether a call may come now. Nothing is changed by one that may not.
StageResult StagedLoader::refuse_order(Stage stage, const LoadCall& call) const {
    const bool is_crash = (call.flags & kKexecOnCrash) != 0;
    if (stage == Stage::kFull) {
        if (open_ && !is_crash) {
            return refused(EBUSY, Refusal::kFullWhileOpen, "a staged load is under way");
        }
        return {};
    }
    if (is_crash) {
        return refused(EINVAL, Refusal::kCrashStaged,
                       "a crash image cannot be loaded in stages: its segments go to their "
                       "destinations at once");
    }
    if (stage == Stage::kStart) {
        return open_ ? refused(EBUSY, Refusal::kAlreadyStarted, "a staged load is under way")
                     : StageResult{};
    }
    if (!open_) {
        return refused(EINVAL, Refusal::kNotStarted, "no staged load is under way");
    }
    if (call.flags != open_->flags) {
        return refused(EINVAL, Refusal::kOtherFlags,
                       "flags " + memory::hex(call.flags) + ", the load was started with " +
                           memory::hex(open_->flags));
    }
    if (stage == Stage::kFinal && open_->segments + call.segments.size() == 0) {
        return refused(EINVAL, Refusal::kNothingLoaded, "no segment was loaded");
    }
    return {};
}

StageResult StagedLoader::full(const LoadConditions& conditions, const LoadCall& call) {
    LoadVerdict verdict = check_load(rules_, setup_, conditions, call);
    if (!verdict.ok()) {
        return refused(std::move(verdict));
    }
    if ((call.flags & kKexecOnCrash) != 0) {
        return {};
    }
    BuildPlan plan;
    plan.rules = &rules_;
    plan.setup = setup_;
    plan.segments = call.segments;
    plan.lookup = lookup_;
    plan.page_tables = page_tables_;
    BuildResult built = build(plan, frames_);
    if (built.error != 0) {
        return refused(built.error, Refusal::kNoMemory, std::move(built.text));
    }
    LoadedImage image;
    image.contents = contents_of(built.image, call.segments);
    image.image = std::move(built.image);
    image.entry = call.entry;
    image.preserve_context = (call.flags & kKexecPreserveContext) != 0;
    install(std::move(image));
    return {};
}

StageResult StagedLoader::stage_call(Stage stage, const LoadConditions& conditions,
                                     const LoadCall& call) {
    if (stage == Stage::kStart) {
        open_.emplace(Open{call.flags, StagedPages(rules_, setup_, frames_), 0});
    }
    StageResult result = take_segments(conditions, call);
    if (result.ok() && stage == Stage::kFinal) {
        result = finish(call);
    }
    return result;
}

StageResult StagedLoader::take_segments(const LoadConditions& conditions, const LoadCall& call) {
    LoadVerdict verdict = check_addresses(rules_, setup_, call.segments);
    if (verdict.ok()) {
        verdict = check_buffers(call.segments);
    }
    if (!verdict.ok()) {
        return refused(std::move(verdict));
    }
    StagedPages& pages = open_->pages;
    pages.announce(call.segments);
    if (pages.announced() > conditions.totalram_pages) {
        return refused(EINVAL, Refusal::kBeyondRam,
                       memory::count_of(pages.announced(), "page") + " of destinations, RAM has " +
                           std::to_string(conditions.totalram_pages));
    }
    for (const Segment& segment : call.segments) {
        if (!pages.add(segment, open_->segments)) {
            return refused(ENOMEM, Refusal::kNoMemory,
                           "no frame left for a page of segment " +
                               std::to_string(open_->segments) + " of the load");
        }
        ++open_->segments;
    }
    return {};
}

StageResult StagedLoader::finish(const LoadCall& call) {
    const StagedPages& pages = open_->pages;
    std::vector<Segment> stretches;
    for (const auto& [start, end] : pages.ranges().ranges()) {
        stretches.push_back({0, Gpa{start}, end - start});
    }
    LoadedImage loaded;
    Kimage& image = loaded.image;
    image.word = rules_.word();
    BuildPlan plan;
    plan.rules = &rules_;
    plan.setup = setup_;
    plan.segments = stretches;
    plan.page_tables = page_tables_;
    ControlPages control(rules_, setup_, frames_, [&](std::uint64_t start, std::uint64_t count) {
        return pages.ranges().touches(start, start + count);
    });
    const std::vector<Move> moves = pages.moves();
    for (const Entry entry : entries_of(std::span<const Move>(moves))) {
        image.entries.push_back(entry.raw);
    }
    std::string text = "no frames left for the list pages";
    const bool done =
        control.take_all(plan, image, text) &&
        control.take_many(list_pages_for(image.entries.size(), image.word), image.list_pages);
    if (!done) {
        image.entries.clear();  // the pages are still the load's own, and are dropped with it
        for (const Gpa page : image.list_pages) {
            frames_.release(pfn_of(page), 0);
        }
        image.list_pages.clear();
        release(image, frames_);
        return refused(ENOMEM, Refusal::kNoMemory, std::move(text));
    }
    image.dest_pages = pages.parked();
    image.unusable_pages = pages.unusable();
    loaded.contents = pages.contents();
    loaded.entry = call.entry;
    loaded.preserve_context = (call.flags & kKexecPreserveContext) != 0;
    install(std::move(loaded));
    open_.reset();
    return {};
}

void StagedLoader::install(LoadedImage image) {
    if (installed_) {
        release(installed_->image, frames_);
    }
    installed_ = std::move(image);
}

void StagedLoader::drop_open() {
    if (open_) {
        open_->pages.release_all();
        open_.reset();
    }
}

void StagedLoader::unload() {
    drop_open();
    if (installed_) {
        release(installed_->image, frames_);
        installed_.reset();
    }
}

Pgmap StagedLoader::pgmap() const {
    if (open_) {
        return pgmap_of(PgmapState::kPending, open_->pages.moves());
    }
    if (installed_) {
        return pgmap_of(PgmapState::kLoaded, installed_->image.moves());
    }
    return {};
}

std::string_view name_of(Refusal refusal) {
    switch (refusal) {
        case Refusal::kNone:
            return "none";
        case Refusal::kCheck:
            return "check";
        case Refusal::kAlreadyStarted:
            return "already-started";
        case Refusal::kFullWhileOpen:
            return "full-while-open";
        case Refusal::kNotStarted:
            return "not-started";
        case Refusal::kOtherFlags:
            return "other-flags";
        case Refusal::kNothingLoaded:
            return "nothing-loaded";
        case Refusal::kCrashStaged:
            return "crash-staged";
        case Refusal::kBeyondRam:
            return "beyond-ram";
        case Refusal::kNoMemory:
            return "no-memory";
    }
    return "unknown";
}

}  // namespace jumpback::kimage
