// SPDX-License-Identifier: GPL-2.0-or-later
//
// Mutants against a fixed set of cases that takes every path of the code: which are caught, and
// why the others are not. Changed code may crash the emulator, so mutants run in a child process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vm/relocate/mutant.h"
#include "vm/relocate/session.h"

namespace jumpback::relocate_check {

enum class Fate : std::uint8_t {
    kCaught,       // a case shows a difference that the real code does not
    kCrashed,      // the emulator died of it, twice
    kHung,         // the emulator did not come back, and was killed
    kNeverRun,     // survived: no case executes the instruction
    kSameCode,     // survived: other bytes for the same instruction
    kDeadValue,    // survived: what changes is overwritten before anything reads it
    kScratchOnly,  // survived: what changes is written where anything may be written
    kSameValue,    // survived: the result is the same in every case, as it is meant to be
    kUnexplained,  // survived: maybe a hole in the check
};
std::string_view name_of(Fate fate);
constexpr bool caught(Fate fate) {
    return fate == Fate::kCaught || fate == Fate::kCrashed || fate == Fate::kHung;
}

struct MutantResult {
    Mutant mutant;
    Fate fate = Fate::kUnexplained;
    std::string place;  // "swap_pages+0x56"
    std::string why;    // the first difference, or why there is none
};

// The cases, and what they show on the real code.
struct MutationPlan {
    std::shared_ptr<const Target> target;
    std::vector<Instruction> code;  // of the functions in which a case executes anything
    // Functions in which none does (what 6.16 and later run on an exception): not mutated.
    std::vector<std::string> left_out;
    std::vector<Case> cases;
    std::vector<std::vector<std::string>> shown;  // by case: the differences, known ones too
    // Cases that a mutant runs with a record of its instructions, too, which is slow: what is
    // neither memory nor registers (flushed caches) is seen there only. One of each kind of call.
    std::vector<std::size_t> traced;
    std::vector<Traces> recorded;  // by case: what the real code does
    std::vector<bool> executed;    // by offset in the blob
    std::uint64_t seed = 1;

    // Share of the instructions that some case executes.
    [[nodiscard]] std::uint64_t instructions_executed() const;
};

// Error: the rig's own; the real code itself must not fail any of the cases.
Result<MutationPlan> plan_mutants(const std::shared_ptr<const Target>& target, std::uint64_t seed);

// Mutants [first, first + count). Error: no process can be made.
Result<std::vector<MutantResult>> run_mutants(const MutationPlan& plan, std::uint64_t first,
                                              std::uint64_t count);

}  // namespace jumpback::relocate_check
