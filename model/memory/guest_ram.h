// SPDX-License-Identifier: GPL-2.0-or-later
//
// A read-only view over captured guest RAM: one buffer (a mapped capture file) and the places at
// which the machine shows parts of it. QEMU's q35 splits RAM around the hole below 4 GiB, so guest
// physical addresses and offsets in the buffer are two things.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "model/address.h"
#include "model/result.h"

namespace jumpback::memory {

// `length` bytes of RAM that the guest sees at `gpa` stand at `offset` in the buffer.
struct RamRegion {
    Gpa gpa;
    Bytes offset;
    Bytes length;
    bool operator==(const RamRegion&) const = default;
};

class GuestRam {
  public:
    // `buffer` is borrowed: it must outlive the view. Regions may come in any order; each must be
    // whole pages, inside the buffer, and none may overlap another in guest physical space.
    // An empty list means: the whole buffer at address 0.
    static Result<GuestRam> create(std::span<const std::byte> buffer,
                                   std::vector<RamRegion> regions);

    // Copies out.size() bytes from `gpa`. Fails if any byte of the range is not RAM.
    [[nodiscard]] Status read(Gpa gpa, std::span<std::byte> out) const;

    // A little-endian integer at `gpa`.
    template <typename T>
    [[nodiscard]] Result<T> read_value(Gpa gpa) const {
        static_assert(std::is_trivially_copyable_v<T>);
        T value{};
        const Status status = read(gpa, std::as_writable_bytes(std::span(&value, 1)));
        if (!status) {
            return status.error();
        }
        return value;
    }

    // The 4096 bytes of one frame, or an error if it is not RAM.
    [[nodiscard]] Result<std::span<const std::byte>> page(Pfn pfn) const;

    // The same for inner loops: nullptr where there is no RAM.
    [[nodiscard]] const std::byte* page_or_null(Pfn pfn) const;

    [[nodiscard]] bool has_frame(Pfn pfn) const { return page_or_null(pfn) != nullptr; }

    // Sorted by guest physical address.
    [[nodiscard]] const std::vector<RamRegion>& regions() const { return regions_; }
    [[nodiscard]] std::span<const std::byte> bytes_of(const RamRegion& region) const {
        return buffer_.subspan(region.offset.raw, region.length.raw);
    }

    [[nodiscard]] std::uint64_t frames() const;  // page frames of RAM
    [[nodiscard]] Pfn end_pfn() const;           // one past the last frame of RAM

  private:
    GuestRam(std::span<const std::byte> buffer, std::vector<RamRegion> regions)
        : buffer_(buffer), regions_(std::move(regions)) {}

    // The region that holds `gpa`, or nullptr.
    [[nodiscard]] const RamRegion* region_of(Gpa gpa) const;

    std::span<const std::byte> buffer_;
    std::vector<RamRegion> regions_;
};

}  // namespace jumpback::memory
