// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs one case on the machine and on the model and compares all of RAM and the registers at each
// stop: at the call (P0), at the callee's entry (P1), at the return point (P2) and back in C (P3).
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/kimage/entry.h"
#include "model/relocate/expect.h"
#include "model/relocate/frame.h"
#include "model/result.h"
#include "vm/relocate/case.h"
#include "vm/relocate/finding.h"
#include "vm/relocate/target.h"
#include "vm/unicorn/relocate_machine.h"

namespace jumpback::relocate_check {

// A machine with what the model needs beside it.
struct Bench {
    unicorn::RelocateMachine machine;
    std::vector<std::byte> expected;   // RAM as the model has it
    memory::WritableRam expected_ram;  // over `expected`
    std::vector<Gpa> arena;            // frames of cases, sorted: page numbers of contents.h
    relocate::Places places;
};

// The machines for one piece of code, made when first asked for and used again.
class Benches {
  public:
    explicit Benches(std::shared_ptr<const Target> target) : target_(std::move(target)) {}

    Result<Bench*> get(unsigned variant, bool large);

  private:
    std::shared_ptr<const Target> target_;
    std::array<std::unique_ptr<Bench>, std::size_t{2} * unicorn::kBoards> made_;
};

struct CaseResult {
    std::vector<Finding> findings;
    std::uint64_t pages = 0;                  // moves of the list
    bool came_back = false;                   // P3 was reached
    CalleeKind callee = CalleeKind::kPushes;  // how it went back
    // Known defects of the kernel: could this case show it, and did it?
    std::array<bool, relocate::kSigns> could_show{};
    std::array<bool, relocate::kSigns> shown{};
    // Rules of the frame condition: was something excused by it, and was it there to be used?
    std::array<bool, relocate::kRules> offered{};
    std::array<bool, relocate::kRules> used{};

    [[nodiscard]] bool failed() const {
        for (const Finding& finding : findings) {
            if (finding.known == nullptr) {
                return true;
            }
        }
        return false;
    }
};

// The record of one leg of a traced run, and of both.
struct Trace {
    std::vector<unicorn::Step> steps;
    std::vector<unicorn::TracedWrite> writes;
};
struct Traces {
    Trace there;
    Trace back;
};

// A change of the list in RAM after the model has read it, for tests of the check itself.
using ListTamper = std::function<void(const memory::WritableRam& ram, const Case& run,
                                      const unicorn::Board& board)>;

class Checker {
  public:
    // Makes a machine of each layout. Error: one cannot be made for this code.
    static Result<Checker> create(const std::shared_ptr<const Target>& target);

    [[nodiscard]] const Target& target() const { return *target_; }
    // For the case generator. A large machine differs from the small one of its layout in the
    // number of its frames only.
    const unicorn::Board& board(unsigned variant, bool large);

    // The frames of that machine's cases, as contents.h numbers them.
    std::span<const Gpa> arena(unsigned variant, bool large);

    struct Options {
        bool both_ways = true;
        ListTamper tamper;
        Traces* traces = nullptr;  // filled if given; such a run is slow
        // Small ones of the first cases are run with a record: only there the cache flush shows.
        bool record_some = false;
    };
    // Errors are the rig's own: the machine cannot be set up, or does not stand at P0 as the model
    // has it.
    Result<CaseResult> run(const Case& run, const Options& options);

  private:
    explicit Checker(const std::shared_ptr<const Target>& target)
        : target_(target), benches_(target) {}

    std::shared_ptr<const Target> target_;
    Benches benches_;
};

// The moves that a list makes, as the assembly walks it.
std::vector<kimage::Move> moves_of(const std::vector<kimage::Entry>& entries);

}  // namespace jumpback::relocate_check
