// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/page_content.h"

#include <cstring>

#include "model/memory/text.h"

namespace jumpback::kimage {

std::vector<PageContent> contents_of(const Kimage& image, std::span<const Segment> segments) {
    std::vector<PageContent> contents;
    contents.reserve(image.entries.size());
    std::uint64_t segment = 0;  // one past the current one: each has one DESTINATION word
    std::uint64_t offset = 0;
    for (const std::uint64_t raw : image.entries) {
        const Entry entry{raw};
        if (entry.is_destination()) {
            ++segment;
            offset = 0;
        } else if (segment != 0 && segment <= segments.size()) {
            contents.push_back(
                {entry.page(), segment - 1, offset, bytes_at(segments[segment - 1], offset)});
            offset += kPageSize;
        }
    }
    return contents;
}

Status write_pages(const memory::WritableRam& ram, std::span<const PageContent> contents,
                   std::span<const std::span<const std::byte>> buffers) {
    for (const PageContent& content : contents) {
        std::byte* page = ram.page_or_null(pfn_of(content.source));
        if (page == nullptr) {
            return Error{"source page " + memory::hex(content.source.raw), "is not RAM"};
        }
        std::memset(page, 0, kPageSize);
        if (content.bytes == 0) {
            continue;
        }
        if (content.segment >= buffers.size() || content.offset > buffers[content.segment].size() ||
            content.bytes > buffers[content.segment].size() - content.offset) {
            return Error{"segment " + std::to_string(content.segment),
                         "has no bytes at offset " + memory::hex(content.offset)};
        }
        std::memcpy(page, buffers[content.segment].data() + content.offset, content.bytes);
    }
    return success();
}

}  // namespace jumpback::kimage
