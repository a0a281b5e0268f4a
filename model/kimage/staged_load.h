// SPDX-License-Identifier: GPL-2.0-or-later
//
// Staged loading: an image that is loaded by many calls of kexec_load, after the multi-stage patch
// of 2008 (KS_start, KS_mid, KS_final, KS_full). That patch is lost; what its description leaves
// open is decided here and in docs/kexec-model.md, for kernel patches and loaders to follow:
//
// - start, then any number of mid, then final; full is today's call and stands alone.
// - A call out of order is refused and changes nothing; nor does one that fails today's checks of
//   the call itself (rights, flags, number of segments, architecture, lock). A call in order that
//   fails later drops the load that was under way. The image that was installed before stays
//   installed until final (or full) succeeds.
// - Each call carries at most KEXEC_SEGMENT_MAX segments (none is allowed); the load as a whole has
//   no limit but RAM: half of RAM is not the limit, as destinations that are free memory are filled
//   in place.
// - Segments may overlap; the last writer wins, by whole pages.
// - Control pages and list pages are taken at final, when all destinations are known. The list is
//   by ascending destination, one DESTINATION word for each stretch of pages.
// - A call that names no destination for the first time moves no page: kexec_pgmap, once read,
//   stays true.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/kimage/builder.h"
#include "model/kimage/kexec_flags.h"
#include "model/kimage/page_content.h"
#include "model/kimage/pgmap.h"
#include "model/kimage/segment_checks.h"
#include "model/kimage/staged_pages.h"

namespace jumpback::kimage {

// Why a call was refused.
enum class Refusal : std::uint8_t {
    kNone,
    kCheck,           // one of today's checks: StageResult::verdict
    kAlreadyStarted,  // start, with a load under way: -EBUSY
    kFullWhileOpen,   // full, with a load under way: -EBUSY
    kNotStarted,      // mid or final, without one: -EINVAL
    kOtherFlags,      // not the flags that start had: -EINVAL
    kNothingLoaded,   // final, and no segment came: -EINVAL
    kCrashStaged,     // KEXEC_ON_CRASH in a stage: -EINVAL
    kBeyondRam,       // more pages than the machine has: -EINVAL
    kNoMemory,        // -ENOMEM
};
std::string_view name_of(Refusal refusal);

struct StageResult {
    std::int64_t result = 0;  // what the call returns
    Refusal refusal = Refusal::kNone;
    LoadVerdict verdict;   // kCheck
    bool dropped = false;  // the load under way is gone
    std::string text;      // empty if nothing failed

    [[nodiscard]] bool ok() const { return refusal == Refusal::kNone; }
};

struct LoadedImage {
    Kimage image;
    std::uint64_t entry = 0;  // of the last call
    bool preserve_context = false;
    std::vector<PageContent> contents;  // segments numbered over all calls of the load
};

class StagedLoader {
  public:
    // `rules` and `frames` must outlive it. `page_tables` as in BuildPlan; a staged load's segments
    // reach it as the stretches of its destinations.
    StagedLoader(const LoadRules& rules, const KernelSetup& setup, FrameSource& frames,
                 Lookup lookup = Lookup::kHashed,
                 std::function<std::uint64_t(std::span<const Segment>)> page_tables = {})
        : rules_(rules),
          setup_(setup),
          frames_(frames),
          lookup_(lookup),
          page_tables_(std::move(page_tables)) {}

    // One call of kexec_load; the stage stands in call.flags. Full without segments unloads: what
    // is under way and what is installed. Crash images (full only) are checked and not built.
    StageResult load(const LoadConditions& conditions, const LoadCall& call);

    [[nodiscard]] bool is_open() const { return open_.has_value(); }
    [[nodiscard]] const std::optional<LoadedImage>& installed() const { return installed_; }
    // What /proc/kexec_pgmap shows: the load under way, else the installed image.
    [[nodiscard]] Pgmap pgmap() const;

  private:
    struct Open {
        std::uint64_t flags = 0;
        StagedPages pages;
        std::uint64_t segments = 0;  // of all calls
    };

    StageResult refuse_order(Stage stage, const LoadCall& call) const;
    StageResult full(const LoadConditions& conditions, const LoadCall& call);
    StageResult stage_call(Stage stage, const LoadConditions& conditions, const LoadCall& call);
    StageResult take_segments(const LoadConditions& conditions, const LoadCall& call);
    StageResult finish(const LoadCall& call);
    void install(LoadedImage image);
    void drop_open();
    void unload();

    const LoadRules& rules_;
    KernelSetup setup_;
    FrameSource& frames_;
    Lookup lookup_;
    std::function<std::uint64_t(std::span<const Segment>)> page_tables_;
    std::optional<Open> open_;
    std::optional<LoadedImage> installed_;
};

}  // namespace jumpback::kimage
