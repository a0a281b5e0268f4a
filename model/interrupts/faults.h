// SPDX-License-Identifier: GPL-2.0-or-later
//
// Known ways to get the hand-over wrong, each as a change of the right sequence: red twins for the
// tests, and candidates by which found registers are explained. Ids R7 to R10 are the regressions
// that the project injects into kernels.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/interrupts/expectation.h"
#include "model/interrupts/sequence.h"

namespace jumpback::interrupts {

struct Fault {
    std::string id;    // "R9-lvt0"
    Path path;         // the way that it spoils
    std::string what;  // what the kernel does wrong
    std::string reg;   // the register that shows it, as the difference is named
    std::string step;  // the step that is blamed
    std::function<Sequence(const Sequence&)> spoil;
};

const std::vector<Fault>& known_faults();

// The state that a kernel with that fault leaves. For Path::kReturn ``before`` is the machine
// before syscore_suspend(), as in at_return_of_a().
Hardware with_fault(const Machine& before, const Fault& fault);

// Ids of the known faults of this way that leave exactly the registers that were found, "" among
// them if a correct kernel does.
std::vector<std::string> explain(const Machine& before, Path path, const Hardware& found);

}  // namespace jumpback::interrupts
