// SPDX-License-Identifier: GPL-2.0-or-later
//
// A trace of a real kernel against the model: it is what a correct kernel does, or a known fault,
// or it parts from the model at one place, and then the judgement says what is left undone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/jump/faults.h"
#include "model/jump/resources.h"
#include "model/jump/sequence.h"

namespace jumpback::jump {

enum class DivergenceKind : std::uint8_t {
    missing,       // the expected step never comes
    out_of_order,  // it comes later
    twice,         // a step that was made already
    unexpected,    // a step that a correct kernel makes elsewhere, or not at all
    unknown_call,  // a function that the model does not know
    wrong_argument,
    wrong_result,  // fails where it should succeed, or the other way round
    ended_early,
    wrong_return,
};
std::string_view to_string(DivergenceKind kind);

// The first place where the trace parts from the correct one.
struct Divergence {
    DivergenceKind kind = DivergenceKind::missing;
    std::size_t position = 0;  // index into the trace
    std::string expected;      // "resume-devices (dpm_resume_end)"; empty: the trace should end
    std::string found;         // empty: it ended
    std::string text;          // a sentence with all of it
};

enum class Outcome : std::uint8_t { match, known_fault, divergence };

struct Judgement {
    Outcome outcome = Outcome::match;
    // The faults that explain the trace completely. Empty unless outcome is known_fault.
    std::vector<FaultId> faults;
    // Whether every one of them is known in kernels of this version.
    bool faults_known_here = false;
    std::optional<Divergence> divergence;  // from a correct kernel; nothing on a match
    std::vector<Violation> violations;     // of the rules in resources.h
    std::vector<std::string> undone;       // "devices stay suspended: dpm_resume_end never ran"
    std::string text;                      // one line for a reader
};

// kernel_kexec(). Which error a failing step returns is not judged: it is the script's.
Judgement judge(const Kernel& kernel, const Scenario& scenario, const Trace& trace);

// machine_kexec().
Judgement judge_machine(const Kernel& kernel, Branch branch, const Trace& trace);

}  // namespace jumpback::jump
