// SPDX-License-Identifier: GPL-2.0-or-later
//
// Faults with a name, put into a copy of the real code or into the list that the machine gets: the
// red twins of the check. Each must be caught, and blamed on the right place.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vm/relocate/checker.h"

namespace jumpback::relocate_check {

struct Break {
    std::string_view name;  // as the variant of a kernel with the same fault, where there is one
    std::string_view summary;
    // Where it must be seen first: the stop, and one of these items.
    Stop stop = Stop::kCallee;
    std::vector<std::string_view> items;
};

const std::vector<Break>& breaks();

struct Broken {
    std::shared_ptr<const Target> target;  // with the code changed, or as it was
    ListTamper tamper;                     // or nothing
    std::string what;                      // what was changed: "swap_pages+0x69: rep movsq -> nop"
};
// Finds its place by the instructions, not by offsets. Errors: no such name; this kernel does not
// have what the fault takes away, or has it in a form that is not known here.
Result<Broken> apply_break(const Target& target, std::string_view name);

}  // namespace jumpback::relocate_check
