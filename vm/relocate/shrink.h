// SPDX-License-Identifier: GPL-2.0-or-later
//
// From a case that shows a difference to the smallest one that still shows the same kind: fewest
// moves, fewest words, the simplest callee.
#pragma once

#include "vm/relocate/checker.h"

namespace jumpback::relocate_check {

struct Shrunk {
    Case run;
    Finding finding;  // what it shows: of the same kind as what was asked for
    CaseResult result;
    std::uint64_t tried = 0;  // cases run on the way
};

// `finding`: of `run`, and unexplained. Error: the rig's own, or `run` does not show it.
Result<Shrunk> shrink(Checker& checker, const Case& run, const Finding& finding,
                      const Checker::Options& options);

}  // namespace jumpback::relocate_check
