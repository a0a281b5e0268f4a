// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/guest_ram.h"

#include <algorithm>

#include "model/memory/text.h"

namespace jumpback::memory {

Result<GuestRam> GuestRam::create(std::span<const std::byte> buffer,
                                  std::vector<RamRegion> regions) {
    if (regions.empty()) {
        regions.push_back({Gpa{0}, Bytes{0}, Bytes{buffer.size()}});
    }
    std::sort(regions.begin(), regions.end(),
              [](const RamRegion& a, const RamRegion& b) { return a.gpa < b.gpa; });
    std::uint64_t previous_end = 0;
    for (const RamRegion& region : regions) {
        const std::string where = "RAM region at GPA " + hex(region.gpa.raw);
        const std::uint64_t all = region.gpa.raw | region.offset.raw | region.length.raw;
        if (region.length.raw == 0 || all % kPageSize != 0) {
            return Error{where, "offset " + hex(region.offset.raw) + " and length " +
                                    hex(region.length.raw) +
                                    " must be whole pages, and the length not 0"};
        }
        if (region.offset.raw > buffer.size() ||
            region.length.raw > buffer.size() - region.offset.raw) {
            return Error{where, "offset " + hex(region.offset.raw) + " + length " +
                                    hex(region.length.raw) + " ends after the buffer of " +
                                    hex(buffer.size()) + " bytes"};
        }
        if (region.gpa.raw < previous_end) {
            return Error{where,
                         "overlaps the region before it, which ends at GPA " + hex(previous_end)};
        }
        if (region.gpa.raw + region.length.raw < region.gpa.raw) {
            return Error{where, "ends after the 64-bit address space"};
        }
        previous_end = region.gpa.raw + region.length.raw;
    }
    return GuestRam(buffer, std::move(regions));
}

const RamRegion* GuestRam::region_of(Gpa gpa) const {
    // Two or three regions: a loop is faster than a search.
    for (const RamRegion& region : regions_) {
        if (gpa.raw - region.gpa.raw < region.length.raw && gpa >= region.gpa) {
            return &region;
        }
    }
    return nullptr;
}

Status GuestRam::read(Gpa gpa, std::span<std::byte> out) const {
    std::size_t done = 0;
    while (done < out.size()) {
        const Gpa at{gpa.raw + done};
        const RamRegion* region = region_of(at);
        if (region == nullptr || at < gpa) {
            return Error{"GPA " + hex(at.raw), "is not RAM of this machine (reading " +
                                                   count_of(out.size(), "byte") + " from GPA " +
                                                   hex(gpa.raw) + ")"};
        }
        const std::uint64_t inside = at.raw - region->gpa.raw;
        const std::uint64_t left = region->length.raw - inside;
        const std::size_t take = std::min<std::uint64_t>(out.size() - done, left);
        std::memcpy(out.data() + done, buffer_.data() + region->offset.raw + inside, take);
        done += take;
    }
    return success();
}

const std::byte* GuestRam::page_or_null(Pfn pfn) const {
    if (pfn.raw > (~std::uint64_t{0} >> kPageShift)) {
        return nullptr;
    }
    const Gpa gpa = gpa_of(pfn);
    const RamRegion* region = region_of(gpa);
    if (region == nullptr) {
        return nullptr;
    }
    return buffer_.data() + region->offset.raw + (gpa.raw - region->gpa.raw);
}

Result<std::span<const std::byte>> GuestRam::page(Pfn pfn) const {
    const std::byte* bytes = page_or_null(pfn);
    if (bytes == nullptr) {
        return Error{"page frame " + hex(pfn.raw), "is not RAM of this machine"};
    }
    return std::span<const std::byte>(bytes, kPageSize);
}

std::uint64_t GuestRam::frames() const {
    std::uint64_t total = 0;
    for (const RamRegion& region : regions_) {
        total += region.length.raw >> kPageShift;
    }
    return total;
}

Pfn GuestRam::end_pfn() const {
    if (regions_.empty()) {
        return Pfn{0};
    }
    const RamRegion& last = regions_.back();
    return pfn_of(Gpa{last.gpa.raw + last.length.raw});
}

}  // namespace jumpback::memory
