// SPDX-License-Identifier: GPL-2.0-or-later
//
// A loaded image as it stands in struct kimage: the list, and the frames that belong to it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/address.h"
#include "model/kimage/entry.h"
#include "model/kimage/frame_source.h"
#include "model/memory/writable_ram.h"
#include "model/result.h"

namespace jumpback::kimage {

struct Kimage {
    Word word = Word::k64;
    // DESTINATION and SOURCE words in order, without links and DONE, and the frames of the list
    // pages they stand in: together what kimage_add_entry() lays out.
    std::vector<std::uint64_t> entries;
    std::vector<Gpa> list_pages;

    std::optional<Gpa> control_code_page;  // the first of 2^control_order frames
    unsigned control_order = 0;
    std::optional<Gpa> swap_page;
    std::vector<Gpa> page_tables;  // those that are control pages, in order of allocation

    std::vector<Gpa> dest_pages;      // parked: destinations that nothing asked for in the end
    std::vector<Gpa> unusable_pages;  // above the limit for sources

    // image->head
    [[nodiscard]] std::uint64_t head() const {
        return list_pages.empty() ? kIndDone : list_pages.front().raw | kIndIndirection;
    }
    // What SOURCE words say, in order.
    [[nodiscard]] std::vector<Move> moves() const;
    // The words of one list page from its first to its link or DONE.
    [[nodiscard]] std::vector<std::uint64_t> list_page_words(std::size_t number) const;
    // Writes the list pages into RAM.
    [[nodiscard]] Status write_list_pages(const memory::WritableRam& ram) const;
};

// kimage_free(): gives back every frame of an image, in the kernel's order.
void release(const Kimage& image, FrameSource& frames);

}  // namespace jumpback::kimage
