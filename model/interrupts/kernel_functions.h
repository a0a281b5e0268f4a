// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every kernel function of this model by the kernel's name, for callers that hold single functions
// against the real ones.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/interrupts/sequence.h"
#include "model/result.h"

namespace jumpback::interrupts {

std::vector<std::string> function_names();

// Runs one, also a step of a sequence by its name ("restore_boot_irq_mode: LVT0"). Error: no such
// function.
Status call(Machine& machine, std::string_view name);

}  // namespace jumpback::interrupts
