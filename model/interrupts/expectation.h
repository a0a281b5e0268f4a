// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the controllers must be at two moments, differences of what was found there, and whose they
// are.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "model/interrupts/machine.h"
#include "model/interrupts/sequence.h"

namespace jumpback::interrupts {

struct Expectation {
    Hardware hardware;
    std::set<std::string, std::less<>> ignored{};  // registers that may have any value
    std::vector<TraceEntry> trace{};               // how the model came there, for blame()
    Hardware before{};                             // where it started
};

// At B's entry (P1): the machine as it is before syscore_suspend() for a jump, before
// native_machine_shutdown() or native_machine_crash_shutdown() for the others.
Expectation at_entry_of_b(const Machine& before, Path path = Path::kJump);

// Back in A, after syscore_resume(): what was before syscore_suspend(), but for TMICT (the count
// starts anew), for the tick devices' own state, and for ELCR bits that save_ELCR() leaves out.
// ``before``: the same moment as for a jump. What B did in between does not matter.
Expectation at_return_of_a(const Machine& before);

struct Difference {
    std::string reg;
    std::uint64_t expected = 0;
    std::uint64_t found = 0;
    bool missing = false;          // the register does not exist in what was found
    std::string expected_meaning;  // see meaning()
    std::string found_meaning;
    std::string step;   // the step that should have given the register its value; "" if none did
    std::string since;  // the last step after which the register had the value found, or "before"

    // One line: name, both values with their meaning, and the step.
    [[nodiscard]] std::string text() const;
};

// Settings only: delivery status, remote IRR, requests in service or pending may differ.
std::vector<Difference> compare(const Expectation& expected, const Hardware& found);

}  // namespace jumpback::interrupts
