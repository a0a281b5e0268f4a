// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/defects.h"

#include <array>

namespace jumpback::relocate {
namespace {

constexpr std::array kDefects{
    // cc456c4e7cac (2013) took the GDT reload out of restore_processor_state(). The fix went into
    // 6.12.y as well, so the row 6.12 is without it.
    Defect{"B7",
           "D4",
           Isa::kX86_64,
           {3, 11},
           Version{6, 12},
           Sign::kGdtNotReloaded,
           "the GDT is not loaded again before the return to C: the first segment load faults",
           "07fa619f2a40",
           "docs/findings/gdt-not-reloaded.md"},
    Defect{"D1",
           "B20",
           Isa::kI386,
           {3, 11},
           std::nullopt,
           Sign::kGdtNotReloaded,
           "the GDT is not loaded again before the return to C: the first segment load faults",
           "",
           "docs/findings/gdt-not-reloaded.md"},
    Defect{"B5",
           "D5",
           Isa::kX86_64,
           {2, 6},
           Version{6, 14},
           Sign::kNoReentrySlot,
           "the callee's stack has no slot for the re-entry word: a plain ret makes the word above "
           "the swap page the next entry",
           "2cacf7f23a02",
           "docs/findings/no-reentry-slot.md"},
    Defect{"D3",
           "",
           Isa::kI386,
           {2, 6},
           std::nullopt,
           Sign::kNoReentrySlot,
           "the callee's stack has no slot for the re-entry word: a plain ret makes the word above "
           "the swap page the next entry",
           "",
           "docs/findings/no-reentry-slot.md"},
    // Shows on kernels built with CONFIG_X86_PAE only.
    Defect{"D2",
           "",
           Isa::kI386,
           {2, 6},
           std::nullopt,
           Sign::kPaeLeftOff,
           "paging is turned on again with PAE tables while CR4.PAE is off",
           "",
           "docs/findings/pae-paging.md"},
    // Also mended in 6.18.y, so the row 6.18 is without it.
    Defect{"B6",
           "",
           Isa::kX86_64,
           {6, 14},
           Version{6, 18},
           Sign::kNoZeroWord,
           "no zero word above the stack pointer on a plain kexec: purgatory takes it for a "
           "jump-back entry",
           "786a45757dcd",
           ""},
    // 9e5683e2d0b5 and b3adabae8a96, both mended before 6.14 was released.
    Defect{"B8",
           "",
           Isa::kX86_64,
           {6, 14},
           Version{6, 14},
           Sign::kNotSwappedBack,
           "the preserve flag is lost on the way back: pages are not swapped back",
           "4d5f1da98f5e",
           ""},
    Defect{"B8",
           "",
           Isa::kX86_64,
           {6, 14},
           Version{6, 14},
           Sign::kWrongSwapPage,
           "another frame than the swap page is used for swapping",
           "85d724df8c82",
           ""},
};

}  // namespace

std::span<const Defect> defects() { return kDefects; }

const Defect* known_defect(const Generation& generation, Sign sign) {
    for (const Defect& defect : kDefects) {
        if (defect.sign == sign && defect.in(generation)) {
            return &defect;
        }
    }
    return nullptr;
}

const Defect* resembled_defect(const Generation& generation, Sign sign) {
    const Defect* found = nullptr;
    for (const Defect& defect : kDefects) {
        if (defect.sign == sign && (found == nullptr || defect.isa == generation.isa)) {
            found = &defect;
        }
    }
    return found;
}

}  // namespace jumpback::relocate
