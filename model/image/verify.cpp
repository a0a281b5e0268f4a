// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/verify.h"

#include "model/image/codec.h"
#include "model/image/swsusp_image.h"

namespace jumpback::swsusp {
namespace {

// Every unit on its own, as far as the lengths lead.
std::vector<Error> broken_units(ByteView disk, const SwapMap& map, const StreamShape& shape,
                                std::size_t most) {
    std::vector<Error> found;
    std::vector<std::byte> scratch;
    std::vector<std::byte> out(kUnitBytes);
    const std::uint64_t units = (shape.pages + kUnitPages - 1) / kUnitPages;
    std::size_t entry = 1;
    for (std::size_t index = 0; index < units && found.size() < most; ++index) {
        const auto unit = read_unit(disk, map, shape, index, entry);
        if (!unit.ok()) {
            found.push_back(unit.error());
            break;
        }
        const ByteSpan room = ByteSpan(out).first(unit->uncompressed);
        const auto written =
            decompress(shape.compression, unit_bytes(disk, map, *unit, shape.arch, scratch), room);
        if (!written.ok()) {
            found.push_back({unit_place(map, index, entry), written.error().what});
        } else if (*written != room.size()) {
            found.push_back({unit_place(map, index, entry),
                             cat("decompresses to ", *written, " bytes, expected ", room.size())});
        }
        entry += unit->disk_pages;
    }
    return found;
}

}  // namespace

std::vector<Error> verify_image(ByteView disk, const ParseOptions& options, std::size_t most) {
    const auto image = read_image(disk, options);
    if (image.ok()) {
        return {};
    }
    std::vector<Error> found{image.error()};
    const auto swap = read_swap_header(disk, options);
    if (!swap.ok() || swap->compression() == Compression::none) {
        return found;
    }
    const auto map = read_swap_map(disk, options.header_page, swap->image_start);
    if (!map.ok()) {
        return found;
    }
    const auto info =
        read_image_info(page_at(disk, map->entries.front()), {}, options.check_reserved);
    if (!info.ok()) {
        return found;
    }
    const StreamShape shape{info->arch, swap->compression(), info->pages - 1};
    for (Error& error : broken_units(disk, *map, shape, most)) {
        if (found.size() < most && error.message() != found.front().message()) {
            found.push_back(std::move(error));
        }
    }
    return found;
}

}  // namespace jumpback::swsusp
