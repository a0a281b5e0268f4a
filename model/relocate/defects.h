// SPDX-License-Identifier: GPL-2.0-or-later
//
// Known defects of relocate_kernel, as data: in which releases, how each shows when the code is
// run, and which commit ended it. A difference that is explained here is told by its name instead
// of as news; in a kernel that should not have the defect any more it is a failure that resembles
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "model/relocate/generation.h"

namespace jumpback::relocate {

// How a defect shows.
enum class Sign : std::uint8_t {
    kGdtNotReloaded,  // at the return to C: GDTR is what the callee left, not saved_context's
    kNoReentrySlot,   // callee's stack: only one word below the top of the swap page; a plain
                      // `ret` makes the word above the swap page the next entry
    kNoZeroWord,      // plain kexec: the word above the stack pointer at the entry is not zero
    kNotSwappedBack,  // at the return: no page has been swapped back
    kWrongSwapPage,   // a frame that is not the swap page was used as one
    kPaeLeftOff,      // i386 with PAE: paging goes on again without CR4.PAE, which faults
};
inline constexpr unsigned kSigns = 6;

struct Defect {
    std::string_view id;     // as the project's documents name it
    std::string_view alias;  // another name for the same, or empty
    Isa isa = Isa::kX86_64;
    Version since;
    std::optional<Version> until;  // first release without it; none: not mended in any known one
    Sign sign = Sign::kGdtNotReloaded;
    std::string_view summary;
    std::string_view fix;   // mainline commit, or empty
    std::string_view page;  // docs/findings/..., or empty

    // By its release, and not mended by a patch that the generation tells of.
    [[nodiscard]] bool in(const Generation& generation) const {
        const bool mended = (sign == Sign::kGdtNotReloaded && generation.gdt_reloaded) ||
                            (sign == Sign::kNoReentrySlot && generation.reentry_slot);
        return !mended && isa == generation.isa && since <= generation.release &&
               (!until || generation.release < *until);
    }
};

std::span<const Defect> defects();

// The defect of this sign that kernels of this row have, or nullptr.
const Defect* known_defect(const Generation& generation, Sign sign);
// A defect of this sign that some kernel has had: what a new difference looks like.
const Defect* resembled_defect(const Generation& generation, Sign sign);

}  // namespace jumpback::relocate
