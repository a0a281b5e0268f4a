// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes a page list into RAM the way kimage_add_entry() and kimage_terminate() lay it out: list
// pages filled to the last word but one, the last word the link to the next page, DONE after the
// last entry (which may be the last word of a page).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/address.h"
#include "model/kimage/entry.h"
#include "model/memory/writable_ram.h"
#include "model/result.h"

namespace jumpback::kimage {

// One DESTINATION word and the SOURCE words that follow it; none: a zero-length segment.
struct DestinationRun {
    Gpa destination;
    std::vector<Gpa> sources;
};

// The words between the links and before DONE.
std::vector<Entry> entries_of(std::span<const DestinationRun> runs);
// The same from moves: a DESTINATION word wherever the destination does not go on.
std::vector<Entry> entries_of(std::span<const Move> moves);

// List pages needed for so many entries; none for none.
constexpr std::uint64_t list_pages_for(std::uint64_t entries, Word word) {
    const std::uint64_t fit = words_per_page(word) - 1;
    return (entries + fit - 1) / fit;
}

// Writes `entries` as they are (malformed ones too) into as many of `list_frames` as it takes and
// returns image->head: INDIRECTION to the first list page, or DONE alone for an empty list. Bytes
// after DONE keep what they were. Fails if frames do not suffice, are not RAM or not page-aligned,
// or if an entry does not fit into a word.
Result<std::uint64_t> write_entries(const memory::WritableRam& ram, std::span<const Entry> entries,
                                    std::span<const Gpa> list_frames, Word word);

Result<std::uint64_t> write_list(const memory::WritableRam& ram,
                                 std::span<const DestinationRun> runs,
                                 std::span<const Gpa> list_frames, Word word);

}  // namespace jumpback::kimage
