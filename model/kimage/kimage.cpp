// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/kimage.h"

#include <algorithm>

#include "model/kimage/list_writer.h"

namespace jumpback::kimage {

std::vector<Move> Kimage::moves() const {
    std::vector<Move> moves;
    moves.reserve(entries.size());
    std::uint64_t destination = 0;
    for (const std::uint64_t raw : entries) {
        const Entry entry{raw};
        if (entry.is_destination()) {
            destination = entry.page().raw;
        } else if (entry.is_source()) {
            moves.push_back({Gpa{destination}, entry.page()});
            destination += kPageSize;
        }
    }
    return moves;
}

std::vector<std::uint64_t> Kimage::list_page_words(std::size_t number) const {
    const std::uint64_t fit = words_per_page(word) - 1;
    const std::uint64_t first = number * fit;
    const std::uint64_t end = std::min<std::uint64_t>(first + fit, entries.size());
    std::vector<std::uint64_t> words(entries.begin() + static_cast<std::ptrdiff_t>(first),
                                     entries.begin() + static_cast<std::ptrdiff_t>(end));
    const bool is_last = number + 1 == list_pages.size();
    words.push_back(is_last ? kIndDone : list_pages[number + 1].raw | kIndIndirection);
    return words;
}

Status Kimage::write_list_pages(const memory::WritableRam& ram) const {
    std::vector<Entry> list;
    list.reserve(entries.size());
    for (const std::uint64_t raw : entries) {
        list.push_back({raw});
    }
    const Result<std::uint64_t> written = write_entries(ram, list, list_pages, word);
    if (!written) {
        return written.error();
    }
    return success();
}

void release(const Kimage& image, FrameSource& frames) {
    const auto give_back = [&](Gpa page) { frames.release(pfn_of(page), 0); };
    // list_add() puts the newest in front, and freeing starts there.
    for (const auto* pages : {&image.dest_pages, &image.unusable_pages}) {
        for (auto page = pages->rbegin(); page != pages->rend(); ++page) {
            give_back(*page);
        }
    }
    // A list page goes once the walk has left it for the next.
    const std::uint64_t fit = words_per_page(image.word) - 1;
    for (std::size_t at = 0; at < image.entries.size(); ++at) {
        if (at != 0 && at % fit == 0) {
            give_back(image.list_pages[at / fit - 1]);
        }
        if (const Entry entry{image.entries[at]}; entry.is_source()) {
            give_back(entry.page());
        }
    }
    if (!image.list_pages.empty()) {
        give_back(image.list_pages.back());
    }
    for (auto page = image.page_tables.rbegin(); page != image.page_tables.rend(); ++page) {
        give_back(*page);
    }
    if (image.swap_page) {
        give_back(*image.swap_page);
    }
    if (image.control_code_page) {
        frames.release(pfn_of(*image.control_code_page), image.control_order);
    }
}

}  // namespace jumpback::kimage
