// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/swsusp_image.h"

#include <algorithm>
#include <array>

namespace jumpback::swsusp {
namespace {

constexpr std::array<std::byte, kPageSize> kZeroPage{};

bool has_pfn(std::span<const Pfn> sorted, Pfn pfn) {
    return std::binary_search(sorted.begin(), sorted.end(), pfn);
}

// The youngest thing seen in the image decides.
std::string layout_of(const ImageHeader& header) {
    if (header.swap.has(kFlagLz4)) {
        return "6.9 or later";  // the choice of compressor
    }
    if (header.zero_pages != 0) {
        return "6.6 or later";  // commit 005e8dddd497
    }
    if (header.swap.hardware_signature) {
        return "5.17 or later";
    }
    // The record's e820 digest: MD5, since 5.13 a CRC32.
    return header.info.md5_digest ? "before 5.13" : "5.13 or later";
}

}  // namespace

std::span<const Pfn> HibernationImage::stored_pfns() const {
    return zero_pfns_.empty() ? pfns() : std::span<const Pfn>(stored_pfns_);
}

ByteView HibernationImage::data() const {
    return stream().subspan(static_cast<std::size_t>(header_.info.meta_pages()) * kPageSize);
}

bool HibernationImage::contains(Pfn pfn) const { return has_pfn(pfns(), pfn); }

std::optional<std::size_t> HibernationImage::stored_index(Pfn pfn) const {
    const auto stored = stored_pfns();
    const auto found = std::lower_bound(stored.begin(), stored.end(), pfn);
    if (found == stored.end() || *found != pfn) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(found - stored.begin());
}

ByteView HibernationImage::page(Pfn pfn) const {
    if (const auto index = stored_index(pfn)) {
        return data().subspan(*index * kPageSize, kPageSize);
    }
    return has_pfn(zero_pfns_, pfn) ? ByteView(kZeroPage) : ByteView();
}

std::optional<PageLocation> HibernationImage::location(Pfn pfn) const {
    if (const auto index = stored_index(pfn)) {
        PageLocation found = locate_stream_page(header_.info.meta_pages() + *index);
        found.pfn = pfn;
        return found;
    }
    if (!has_pfn(zero_pfns_, pfn)) {
        return std::nullopt;
    }
    const auto slot = std::lower_bound(pfns().begin(), pfns().end(), pfn) - pfns().begin();
    PageLocation found =
        locate_stream_page(static_cast<std::uint64_t>(slot) / pfns_per_page(header_.info.arch));
    found.pfn = pfn;
    found.zero = true;
    return found;
}

PageLocation HibernationImage::locate_stream_page(std::uint64_t stream_page) const {
    PageLocation found;
    found.stream_page = stream_page;
    found.compressed = header_.compression != Compression::none;
    if (found.compressed) {
        found.unit = stream_page / kUnitPages;
        found.unit_page = stream_page % kUnitPages;
        const Unit& unit = stream_.units[static_cast<std::size_t>(found.unit)];
        found.first_entry = unit.first_entry;
        found.entries = unit.disk_pages;
    } else {
        found.first_entry = stream_page + 1;
        found.entries = 1;
    }
    for (std::uint64_t i = 0; i < found.entries; ++i) {
        const std::uint64_t offset =
            map_.entries[static_cast<std::size_t>(found.first_entry + i)] * kPageSize;
        if (!found.extents.empty() &&
            found.extents.back().offset + found.extents.back().length == offset) {
            found.extents.back().length += kPageSize;
        } else {
            found.extents.push_back({offset, kPageSize});
        }
    }
    return found;
}

Result<HibernationImage> read_image(ByteView disk, const ParseOptions& options) {
    auto swap = read_swap_header(disk, options);
    if (!swap.ok()) {
        return swap.error();
    }
    auto map = read_swap_map(disk, options.header_page, swap->image_start);
    if (!map.ok()) {
        return map.error();
    }
    const std::uint64_t info_page = map->entries.front();
    auto info = read_image_info(page_at(disk, info_page),
                                "swsusp_info at " + disk_offset(info_page), options.check_reserved);
    if (!info.ok()) {
        return info.error();
    }
    const StreamShape shape{info->arch, swap->compression(), info->pages - 1};
    auto stream = read_stream(disk, *map, shape);
    if (!stream.ok()) {
        return stream.error();
    }

    HibernationImage image;
    image.header_.swap = *swap;
    image.header_.info = *info;
    image.header_.compression = shape.compression;
    image.header_.info_disk_offset = info_page * kPageSize;
    image.header_.map_pages = map->map_pages.size();
    image.header_.disk_pages = map->entries.size();
    image.header_.crc32_computed = stream->crc32;
    if (options.check_crc && !image.header_.crc_matches()) {
        return Error{
            cat("swap header, crc32 at disk offset ", hex(swap->page * kPageSize + kOffCrc32)),
            cat("found ", hex(swap->crc32), ", expected ", hex(stream->crc32),
                ", the CRC32 of the ", stream->units.size(),
                " units as they decompress: some page is not what was written")};
    }
    image.map_ = std::move(map).value();
    image.stream_ = std::move(stream).value();

    const std::uint64_t limit =
        std::min(options.pfn_limit.value_or(pfn_limit(info->arch)), pfn_limit(info->arch));
    const MetaPlace place = [&image](std::uint64_t meta_page) {
        const PageLocation at = image.locate_stream_page(meta_page);
        return at.compressed ? unit_place(image.map_, static_cast<std::size_t>(at.unit),
                                          static_cast<std::size_t>(at.first_entry))
                             : "disk offset " + hex(at.extents.front().offset);
    };
    const ByteView meta =
        image.stream().first(static_cast<std::size_t>(info->meta_pages()) * kPageSize);
    auto list = read_pfn_list(meta, image.header_.info, limit, options.check_reserved, place);
    if (!list.ok()) {
        return list.error();
    }
    image.list_ = std::move(list).value();
    image.header_.zero_pages = image.list_.zero_count;
    image.header_.layout = layout_of(image.header_);
    if (image.header_.zero_pages != 0) {
        for (std::size_t i = 0; i < image.list_.pfns.size(); ++i) {
            (image.list_.zero[i] != 0 ? image.zero_pfns_ : image.stored_pfns_)
                .push_back(image.list_.pfns[i]);
        }
    }
    return image;
}

}  // namespace jumpback::swsusp
