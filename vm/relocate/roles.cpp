// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/roles.h"

#include <algorithm>

#include "model/memory/text.h"
#include "vm/relocate/contents.h"

namespace jumpback::relocate_check {
namespace {

using memory::hex;

Role plain(const std::string& item, Gpa page) { return {item, item + " " + hex(page.raw), false}; }

bool among(const std::vector<Gpa>& pages, Gpa page) {
    return std::find(pages.begin(), pages.end(), page) != pages.end();
}

}  // namespace

Role Roles::in_control_page(std::uint64_t offset) const {
    if (offset < target_.code_bytes) {
        return {"control page: code", "control page: code, " + target_.name_at(offset), false};
    }
    if (offset < target_.code.blob.size() &&
        target_.generation.saved_words == relocate::SavedWords::kDataSection) {
        return {"control page: data", "control page: data, " + target_.name_at(offset), false};
    }
    return {"control page", "control page, offset " + hex(offset), false};
}

Role Roles::of_board(Gpa page) const {
    if (page == board_.swap_page) {
        return plain("swap page", page);
    }
    if (among(board_.table_pages, page)) {
        return plain("kexec page table", page);
    }
    if (among(board_.kernel_tables, page)) {
        return plain("kernel's page table", page);
    }
    if (among(board_.kernel_image, page)) {
        return plain("kernel image", page);
    }
    if (page == board_.stack_page) {
        return plain("caller's stack", page);
    }
    if (page.raw == board_.swap_page.raw + kPageSize) {
        return plain("page behind the swap page", page);
    }
    if (page.raw + kPageSize == board_.swap_page.raw) {
        return plain("page before the swap page", page);
    }
    return plain("page of no list", page);
}

Role Roles::of(Gpa at) const {
    const Gpa page = gpa_of(pfn_of(at));
    if (page == board_.control_page) {
        return in_control_page(at.raw - page.raw);
    }
    for (std::size_t move = 0; move < moves_.size(); ++move) {
        const std::string number = std::to_string(move);
        const bool destination = moves_[move].destination == page;
        const bool source = moves_[move].source == page;
        if (destination && source) {
            return {"page onto itself", "page onto itself (move " + number + ")", true};
        }
        if (destination) {
            return {"destination", "destination of move " + number, true};
        }
        if (source) {
            return {"source", "source of move " + number, true};
        }
    }
    for (std::size_t number = 0; number < run_.list_frames.size(); ++number) {
        if (run_.list_frames[number] == page) {
            return {"list page", "list page " + std::to_string(number), false};
        }
    }
    return of_board(page);
}

std::string Roles::origin_of(std::uint64_t word) const {
    const auto origin = Contents(run_.salt).origin(word);
    if (!origin) {
        return "";
    }
    if (origin->number < arena_.size()) {
        const Gpa page = arena_[origin->number];
        std::string text = "what stood in " + of(page).place;
        return origin->offset == 0 ? text : text + " at " + hex(origin->offset);
    }
    for (const PageChange& change : run_.callee.changes) {
        if (change.number == origin->number) {
            return "what the callee wrote into " + of(change.at).place;
        }
    }
    return "";
}

bool Roles::from_source(std::uint64_t word) const {
    const auto origin = Contents(run_.salt).origin(word);
    if (!origin || origin->number >= arena_.size()) {
        return false;
    }
    const Gpa page = arena_[origin->number];
    return std::any_of(moves_.begin(), moves_.end(),
                       [&](const kimage::Move& move) { return move.source == page; });
}

}  // namespace jumpback::relocate_check
