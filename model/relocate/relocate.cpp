// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/relocate.h"

#include <array>
#include <cstring>
#include <string>

#include "model/memory/text.h"

namespace jumpback::relocate {
namespace {

using memory::hex;
using memory::WritableRam;

Status check_frames(const WritableRam& ram, std::span<const kimage::Move> moves, Gpa swap_page,
                    Action action) {
    for (std::size_t at = 0; at < moves.size(); ++at) {
        for (const Gpa frame : {moves[at].source, moves[at].destination}) {
            if (ram.page_or_null(pfn_of(frame)) == nullptr) {
                return Error{"move " + std::to_string(at),
                             "page " + hex(frame.raw) + " is not RAM"};
            }
        }
    }
    if (action == Action::kSwap && ram.page_or_null(pfn_of(swap_page)) == nullptr) {
        return Error{"swap page", hex(swap_page.raw) + " is not RAM"};
    }
    return success();
}

// rep movs of a page onto itself changes nothing; memcpy must not be asked to.
void copy_page(std::byte* to, const std::byte* from) {
    if (to != from) {
        std::memcpy(to, from, kPageSize);
    }
}

// A cache line of both at a time, held in registers: no third page is touched.
void exchange_pages(std::byte* left, std::byte* right) {
    constexpr std::size_t kLine = 64;
    for (std::size_t at = 0; at < kPageSize; at += kLine) {
        std::array<std::byte, kLine> from_left;
        std::array<std::byte, kLine> from_right;
        std::memcpy(from_left.data(), left + at, kLine);
        std::memcpy(from_right.data(), right + at, kLine);
        std::memcpy(left + at, from_right.data(), kLine);
        std::memcpy(right + at, from_left.data(), kLine);
    }
}

bool names_frame(std::span<const kimage::Move> moves, Gpa frame) {
    for (const kimage::Move& move : moves) {
        if (move.source == frame || move.destination == frame) {
            return true;
        }
    }
    return false;
}

}  // namespace

Status relocate_in_order(const WritableRam& ram, std::span<const kimage::Move> moves, Gpa swap_page,
                         Action action) {
    Status sound = check_frames(ram, moves, swap_page, action);
    if (!sound) {
        return sound;
    }
    std::byte* swap = ram.page_or_null(pfn_of(swap_page));
    for (const kimage::Move& move : moves) {
        std::byte* source = ram.page_or_null(pfn_of(move.source));
        std::byte* destination = ram.page_or_null(pfn_of(move.destination));
        if (action == Action::kCopy) {
            copy_page(destination, source);
            continue;
        }
        copy_page(swap, source);
        copy_page(source, destination);
        copy_page(destination, swap);
    }
    return success();
}

Status relocate(const WritableRam& ram, std::span<const kimage::Move> moves, Gpa swap_page,
                Action action) {
    // A list that moves the swap page itself is broken; only the kernel's own order tells how.
    if (action == Action::kCopy || moves.empty() || names_frame(moves, swap_page)) {
        return relocate_in_order(ram, moves, swap_page, action);
    }
    Status sound = check_frames(ram, moves, swap_page, action);
    if (!sound) {
        return sound;
    }
    for (const kimage::Move& move : moves) {
        if (move.source != move.destination) {
            exchange_pages(ram.page_or_null(pfn_of(move.source)),
                           ram.page_or_null(pfn_of(move.destination)));
        }
    }
    // What the last move's source held is at its destination now.
    copy_page(ram.page_or_null(pfn_of(swap_page)),
              ram.page_or_null(pfn_of(moves.back().destination)));
    return success();
}

}  // namespace jumpback::relocate
