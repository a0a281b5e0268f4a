// SPDX-License-Identifier: GPL-2.0-or-later
//
// What swap_pages (arch/x86/kernel/relocate_kernel_{32,64}.S) does to memory, on a memory that the
// caller hands in: every move of a decoded page list in its order, as a swap through the swap page
// (source -> swap page, destination -> source, swap page -> destination) or as one copy.
//
// A pass of swaps over a sound list is an involution: pairs are disjoint or d == s, so the same
// list brings everything back.
#pragma once

#include <cstdint>
#include <span>

#include "model/address.h"
#include "model/kimage/entry.h"
#include "model/memory/writable_ram.h"
#include "model/relocate/generation.h"
#include "model/result.h"

namespace jumpback::relocate {

enum class Action : std::uint8_t { kSwap, kCopy };

// What a generation does with the pages of a jump (`preserve`) or of a plain kexec.
constexpr Action action_of(const Generation& generation, bool preserve) {
    return preserve || generation.plain_swaps ? Action::kSwap : Action::kCopy;
}

// Carries out `moves` in order, page copy by page copy as the assembly does. Nothing is written if
// a frame of the list, or the swap page of a swap, is not RAM: that is the error. Moves may chain
// or overlap; the result is then what the assembly makes of it.
Status relocate_in_order(const memory::WritableRam& ram, std::span<const kimage::Move> moves,
                         Gpa swap_page, Action action);

// The same end result, the swap page's included, with less copying: a swap exchanges two pages
// directly, and the swap page is written once, at the end.
Status relocate(const memory::WritableRam& ram, std::span<const kimage::Move> moves, Gpa swap_page,
                Action action);

}  // namespace jumpback::relocate
