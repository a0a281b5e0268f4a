// SPDX-License-Identifier: GPL-2.0-or-later
//
// Frames that stay themselves while an image is moved: control code page, swap page, page tables.
// Mirrors kimage_alloc_normal_control_pages() of kernel/kexec_core.c.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/kimage/frame_source.h"
#include "model/kimage/kimage.h"
#include "model/kimage/load_rules.h"

namespace jumpback::kimage {

struct BuildPlan;

class ControlPages {
  public:
    // Does [start, start + count) touch a destination?
    using InRange = std::function<bool(std::uint64_t start, std::uint64_t count)>;

    ControlPages(const LoadRules& rules, const KernelSetup& setup, FrameSource& frames,
                 InRange in_range)
        : limit_pfn_(rules.control_limit(setup) >> kPageShift),
          frames_(frames),
          in_range_(std::move(in_range)) {}

    // Asks for frames until some are below the limit and in no destination range; the others are
    // held until then and released after, the newest first. None: out of memory.
    std::optional<Gpa> take(unsigned order);

    // `count` single frames the same way, the rejected ones of all of them held until the last is
    // found: the list pages of a staged load. False: out of memory; what came is in `pages`.
    bool take_many(std::uint64_t count, std::vector<Gpa>& pages);

    // All of an image in the order of a load: code, swap page, page tables. False: out of memory,
    // and `text` says at what.
    bool take_all(const BuildPlan& plan, Kimage& image, std::string& text);

    [[nodiscard]] std::uint64_t frames() const { return taken_; }  // allocations, rejected included

  private:
    std::optional<Gpa> find(unsigned order, std::vector<Pfn>& rejected);
    void release(const std::vector<Pfn>& rejected, unsigned order);

    std::uint64_t limit_pfn_;
    FrameSource& frames_;
    InRange in_range_;
    std::uint64_t taken_ = 0;
};

}  // namespace jumpback::kimage
