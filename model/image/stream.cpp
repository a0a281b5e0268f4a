// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/stream.h"

#include <algorithm>

#include "model/image/codec.h"
#include "model/image/crc32.h"

namespace jumpback::swsusp {
namespace {

// How many of `most` entries from `first` on follow each other on the disk.
std::size_t run_length(const SwapMap& map, std::size_t first, std::size_t most) {
    std::size_t length = 1;
    while (length < most && map.entries[first + length] == map.entries[first] + length) {
        ++length;
    }
    return length;
}

// Copies `count` entries' pages, run by run.
void gather(ByteView disk, const SwapMap& map, std::size_t first, std::size_t count, ByteSpan out) {
    for (std::size_t done = 0; done < count;) {
        const std::size_t run = run_length(map, first + done, count - done);
        std::memcpy(out.data() + done * kPageSize, page_at(disk, map.entries[first + done]).data(),
                    run * kPageSize);
        done += run;
    }
}

Result<Stream> read_raw(ByteView disk, const SwapMap& map, const StreamShape& shape) {
    if (map.entries.size() != shape.pages + 1) {
        return Error{"swap map", cat("holds ", map.entries.size(), " entries, expected ",
                                     shape.pages + 1, ": one for each of the image's pages")};
    }
    Stream stream;
    stream.bytes = StreamBuffer(static_cast<std::size_t>(shape.pages) * kPageSize);
    gather(disk, map, 1, static_cast<std::size_t>(shape.pages), stream.bytes.bytes());
    return stream;
}

}  // namespace

std::string unit_place(const SwapMap& map, std::size_t unit, std::size_t first_entry) {
    std::string text = cat("unit ", unit, ", ", map.place(first_entry));
    if (first_entry < map.entries.size()) {
        text += ", " + disk_offset(map.entries[first_entry]);
    }
    return text;
}

Result<Unit> read_unit(ByteView disk, const SwapMap& map, const StreamShape& shape,
                       std::size_t index, std::size_t first_entry) {
    const std::uint64_t units = (shape.pages + kUnitPages - 1) / kUnitPages;
    if (first_entry >= map.entries.size()) {
        return Error{unit_place(map, index, first_entry),
                     cat("the swap map ends after ", map.entries.size(), " entries, expected ",
                         units, " units of which ", index, " were there")};
    }
    Unit unit;
    unit.first_entry = first_entry;
    unit.uncompressed = static_cast<std::size_t>(
        std::min<std::uint64_t>(kUnitPages, shape.pages - index * kUnitPages) * kPageSize);
    const std::uint64_t length = load_word(page_at(disk, map.entries[first_entry]), 0, shape.arch);
    if (length == 0 || length > kMaxCompressed) {
        return Error{unit_place(map, index, first_entry),
                     cat("compressed length ", length, ", expected 1 to ", kMaxCompressed)};
    }
    unit.compressed = static_cast<std::size_t>(length);
    unit.disk_pages = (unit.compressed + word_bytes(shape.arch) + kPageSize - 1) / kPageSize;
    if (unit.disk_pages > map.entries.size() - first_entry) {
        return Error{unit_place(map, index, first_entry),
                     cat("compressed length ", length, " takes ", unit.disk_pages,
                         " disk pages, expected at most the ", map.entries.size() - first_entry,
                         " entries that are left")};
    }
    return unit;
}

ByteView unit_bytes(ByteView disk, const SwapMap& map, const Unit& unit, Arch arch,
                    std::vector<std::byte>& scratch) {
    if (run_length(map, unit.first_entry, unit.disk_pages) == unit.disk_pages) {
        return disk.subspan(
            static_cast<std::size_t>(map.entries[unit.first_entry] * kPageSize) + word_bytes(arch),
            unit.compressed);
    }
    scratch.resize(kMaxUnitDiskPages * kPageSize);
    gather(disk, map, unit.first_entry, unit.disk_pages, scratch);
    return ByteView(scratch).subspan(word_bytes(arch), unit.compressed);
}

Result<Stream> read_stream(ByteView disk, const SwapMap& map, const StreamShape& shape) {
    if (shape.compression == Compression::none) {
        return read_raw(disk, map, shape);
    }
    // Each unit takes at least one disk page: bounds memory by 32 times the disk.
    const std::uint64_t units = (shape.pages + kUnitPages - 1) / kUnitPages;
    if (units > map.entries.size() - 1) {
        return Error{"swap map", cat("holds ", map.entries.size(), " entries, expected at least ",
                                     units + 1, ": swsusp_info and one for each unit of 32 pages")};
    }
    Stream stream;
    stream.bytes = StreamBuffer(static_cast<std::size_t>(shape.pages) * kPageSize);
    stream.units.reserve(static_cast<std::size_t>(units));
    std::vector<std::byte> scratch;
    std::size_t entry = 1;
    for (std::size_t index = 0; index < units; ++index) {
        auto unit = read_unit(disk, map, shape, index, entry);
        if (!unit.ok()) {
            return unit.error();
        }
        const ByteSpan out = stream.bytes.bytes().subspan(index * kUnitBytes, unit->uncompressed);
        const auto written =
            decompress(shape.compression, unit_bytes(disk, map, *unit, shape.arch, scratch), out);
        if (!written.ok()) {
            return Error{unit_place(map, index, entry), written.error().what};
        }
        if (*written != out.size()) {
            return Error{unit_place(map, index, entry),
                         cat("decompresses to ", *written, " bytes, expected ", out.size())};
        }
        stream.crc32 = crc32_le(stream.crc32, out);
        entry += unit->disk_pages;
        stream.units.push_back(*unit);
    }
    if (entry != map.entries.size()) {
        return Error{map.place(entry), cat("the stream ends here with unit ", units - 1,
                                           ", expected no further of the swap map's ",
                                           map.entries.size(), " entries")};
    }
    return stream;
}

}  // namespace jumpback::swsusp
