// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/list_writer.h"

#include <cstring>

#include "model/memory/text.h"

namespace jumpback::kimage {

using memory::count_of;
using memory::hex;

std::vector<Entry> entries_of(std::span<const DestinationRun> runs) {
    std::vector<Entry> entries;
    for (const DestinationRun& run : runs) {
        entries.push_back({run.destination.raw | kIndDestination});
        for (const Gpa source : run.sources) {
            entries.push_back({source.raw | kIndSource});
        }
    }
    return entries;
}

std::vector<Entry> entries_of(std::span<const Move> moves) {
    std::vector<Entry> entries;
    std::uint64_t cursor = 1;  // no page
    for (const Move& move : moves) {
        if (move.destination.raw != cursor) {
            entries.push_back({move.destination.raw | kIndDestination});
        }
        entries.push_back({move.source.raw | kIndSource});
        cursor = move.destination.raw + kPageSize;
    }
    return entries;
}

namespace {

Status check_frames(const memory::WritableRam& ram, std::span<const Gpa> frames, Word word) {
    for (const Gpa frame : frames) {
        if (frame.raw % kPageSize != 0) {
            return Error{"list frame " + hex(frame.raw), "is not page-aligned"};
        }
        if (ram.page_or_null(pfn_of(frame)) == nullptr) {
            return Error{"list frame " + hex(frame.raw), "is not RAM"};
        }
        if (word == Word::k32 && frame.raw > UINT32_MAX) {
            return Error{"list frame " + hex(frame.raw), "does not fit into a 32-bit word"};
        }
    }
    return success();
}

void put(std::byte* page, std::uint64_t index, std::uint64_t value, Word word) {
    if (word == Word::k32) {
        const auto narrow = static_cast<std::uint32_t>(value);
        std::memcpy(page + index * sizeof narrow, &narrow, sizeof narrow);
    } else {
        std::memcpy(page + index * sizeof value, &value, sizeof value);
    }
}

}  // namespace

Result<std::uint64_t> write_entries(const memory::WritableRam& ram, std::span<const Entry> entries,
                                    std::span<const Gpa> list_frames, Word word) {
    const std::uint64_t needed = list_pages_for(entries.size(), word);
    if (needed > list_frames.size()) {
        return Error{"page list of " + count_of(entries.size(), "entry"),
                     "needs " + count_of(needed, "list page") + ", given are " +
                         std::to_string(list_frames.size())};
    }
    const std::span<const Gpa> frames = list_frames.first(needed);
    const Status sound = check_frames(ram, frames, word);
    if (!sound) {
        return sound.error();
    }
    if (entries.empty()) {
        return kIndDone;  // kimage_terminate() on an image to which nothing was added
    }
    const std::uint64_t fit = words_per_page(word) - 1;
    for (std::uint64_t at = 0; at < entries.size(); ++at) {
        if (word == Word::k32 && entries[at].raw > UINT32_MAX) {
            return Error{"entry " + std::to_string(at),
                         hex(entries[at].raw) + " does not fit into a 32-bit word"};
        }
        put(ram.page_or_null(pfn_of(frames[at / fit])), at % fit, entries[at].raw, word);
    }
    for (std::uint64_t at = 0; at + 1 < needed; ++at) {
        put(ram.page_or_null(pfn_of(frames[at])), fit, frames[at + 1].raw | kIndIndirection, word);
    }
    const std::uint64_t in_last = entries.size() - (needed - 1) * fit;
    put(ram.page_or_null(pfn_of(frames.back())), in_last, kIndDone, word);
    return frames.front().raw | kIndIndirection;
}

Result<std::uint64_t> write_list(const memory::WritableRam& ram,
                                 std::span<const DestinationRun> runs,
                                 std::span<const Gpa> list_frames, Word word) {
    return write_entries(ram, entries_of(runs), list_frames, word);
}

}  // namespace jumpback::kimage
