// SPDX-License-Identifier: GPL-2.0-or-later
//
// Why a mutant that some case executes is not caught: its runs beside those of the real code.
#pragma once

#include "vm/relocate/mutation_run.h"

namespace jumpback::relocate_check {

// Fills in fate and reason of a mutant that no case has told from the real code.
void explain_survivor(const MutationPlan& plan, MutantResult& result);

}  // namespace jumpback::relocate_check
