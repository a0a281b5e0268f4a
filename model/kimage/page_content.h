// SPDX-License-Identifier: GPL-2.0-or-later
//
// What stands in a source page after a load: kimage_load_normal_segment() clears it and copies what
// is left of the segment's buffer into it, at most a page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/kimage/kimage.h"
#include "model/kimage/segment.h"
#include "model/memory/writable_ram.h"
#include "model/result.h"

namespace jumpback::kimage {

// `bytes` bytes from `offset` on of the buffer of segment number `segment`, then zeros.
struct PageContent {
    Gpa source;
    std::uint64_t segment = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    constexpr bool operator==(const PageContent&) const = default;
};

// Bytes that the page at `offset` of a segment takes from its buffer.
constexpr std::uint64_t bytes_at(const Segment& segment, std::uint64_t offset) {
    const std::uint64_t left = segment.bufsz > offset ? segment.bufsz - offset : 0;
    return left < kPageSize ? left : kPageSize;
}

// In the order of the list of an image that build() made of these segments.
std::vector<PageContent> contents_of(const Kimage& image, std::span<const Segment> segments);

// Clears and fills the source pages. `buffers`: one for each segment number. Fails if a source is
// not RAM or a buffer is shorter than its segment's bufsz (-EFAULT to the kernel).
Status write_pages(const memory::WritableRam& ram, std::span<const PageContent> contents,
                   std::span<const std::span<const std::byte>> buffers);

}  // namespace jumpback::kimage
