// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a load gets its page frames: the kernel's page allocator, made a parameter. With the frames
// that a real kernel was given, in order, the model must build the very list that kernel built.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/address.h"

namespace jumpback::kimage {

// What kimage_alloc_pages() asks alloc_pages() for.
struct FrameRequest {
    unsigned order = 0;    // 2^order frames, aligned to that
    bool highmem = false;  // GFP_HIGHUSER: a frame without a kernel mapping will do (i386)
};

class FrameSource {
  public:
    FrameSource() = default;
    FrameSource(const FrameSource&) = delete;
    FrameSource& operator=(const FrameSource&) = delete;
    FrameSource(FrameSource&&) = delete;
    FrameSource& operator=(FrameSource&&) = delete;
    virtual ~FrameSource() = default;

    // The first of the frames; none: out of memory.
    virtual std::optional<Pfn> next(const FrameRequest& request) = 0;
    // kimage_free_pages(): the frames may be handed out again.
    virtual void release(Pfn first, unsigned order) {
        (void)first;
        (void)order;
    }
    // PageHighMem()
    [[nodiscard]] virtual bool is_highmem(Pfn pfn) const {
        (void)pfn;
        return false;
    }
};

// One allocation out of a trace.
struct Allocation {
    Pfn first;
    unsigned order = 0;
};

// Hands out what a trace says, in its order; then it is out of memory. Released frames are not
// handed out again: a trace of a real allocator has them again where it gave them again.
class TracedFrames final : public FrameSource {
  public:
    // `lowmem_end`: frames from there on are high memory.
    explicit TracedFrames(std::vector<Allocation> trace, Pfn lowmem_end = Pfn{~std::uint64_t{0}})
        : trace_(std::move(trace)), lowmem_end_(lowmem_end) {}

    std::optional<Pfn> next(const FrameRequest& request) override {
        if (at_ == trace_.size()) {
            return std::nullopt;
        }
        if (trace_[at_].order != request.order) {
            misfit_ = at_;
            return std::nullopt;
        }
        return trace_[at_++].first;
    }
    [[nodiscard]] bool is_highmem(Pfn pfn) const override { return pfn >= lowmem_end_; }

    [[nodiscard]] std::size_t used() const { return at_; }
    // The allocation that was of another order than was asked for: the trace is of another load.
    [[nodiscard]] std::optional<std::size_t> misfit() const { return misfit_; }

  private:
    std::vector<Allocation> trace_;
    Pfn lowmem_end_;
    std::size_t at_ = 0;
    std::optional<std::size_t> misfit_;
};

}  // namespace jumpback::kimage
