// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guest RAM that may be changed: the same buffer and regions as GuestRam, handed in by the caller.
// The model relocates pages in it, the Unicorn machine runs on it.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "model/address.h"
#include "model/memory/guest_ram.h"
#include "model/result.h"

namespace jumpback::memory {

class WritableRam {
  public:
    // As GuestRam::create: `buffer` is borrowed and must outlive this object.
    static Result<WritableRam> create(std::span<std::byte> buffer, std::vector<RamRegion> regions) {
        Result<GuestRam> view = GuestRam::create(buffer, std::move(regions));
        if (!view) {
            return view.error();
        }
        return WritableRam(buffer, std::move(view).value());
    }

    // The 4096 bytes of one frame; nullptr where there is no RAM.
    [[nodiscard]] std::byte* page_or_null(Pfn pfn) const {
        const std::byte* bytes = view_.page_or_null(pfn);
        return bytes == nullptr ? nullptr : buffer_.data() + (bytes - buffer_.data());
    }

    [[nodiscard]] const GuestRam& view() const { return view_; }
    [[nodiscard]] std::span<std::byte> buffer() const { return buffer_; }

  private:
    WritableRam(std::span<std::byte> buffer, GuestRam view)
        : buffer_(buffer), view_(std::move(view)) {}

    std::span<std::byte> buffer_;
    GuestRam view_;
};

}  // namespace jumpback::memory
