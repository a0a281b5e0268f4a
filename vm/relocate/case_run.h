// SPDX-License-Identifier: GPL-2.0-or-later
//
// One case on its way from P0 to P3: what the checker does at each stop.
#pragma once

#include <vector>

#include "model/relocate/relocate.h"
#include "vm/relocate/checker.h"
#include "vm/relocate/roles.h"

namespace jumpback::relocate_check {

class CaseRun {
  public:
    CaseRun(const Target& target, Bench& bench, const Case& run, const Checker::Options& options)
        : target_(target),
          generation_(target.generation),
          bench_(bench),
          board_(bench.machine.board()),
          run_(run),
          options_(options),
          moves_(moves_of(run.entries)),
          roles_(target, board_, run, moves_, bench.arena) {}

    Result<CaseResult> go();

  private:
    // Memory, list and call as the case has them; then what the model expects at P1.
    Status set_up();
    Status check_call() const;  // P0
    Status check_list() const;  // P0
    void check_callee_entry();  // P1
    void check_flush(const Trace& trace);
    Status act_as_callee();  // P1 to P2
    Status go_back();        // P2 to P3
    [[nodiscard]] bool fell_off_swap_page(const unicorn::Stop& stop) const;
    bool lost(Stop stop, const unicorn::Stop& reached, std::string_view place);
    Status compare(Stop stop, relocate::Leg leg);
    // Makes the model's memory equal to the machine's where the last comparison found them to
    // differ (all listed pages; with unlisted ones the case has failed and ends).
    void accept_differences();
    void note_registers(Stop stop, const std::vector<relocate::RegisterDifference>& differences);
    Finding memory_finding(Stop stop, const memory::PageDifference& difference) const;
    [[nodiscard]] bool not_swapped_back(const std::vector<memory::PageDifference>& all) const;
    void expect(relocate::Sign sign, bool shown);

    [[nodiscard]] relocate::Action action() const {
        return relocate::action_of(generation_, run_.preserve);
    }
    [[nodiscard]] std::uint64_t word_bytes() const { return kimage::bytes_of(generation_.word()); }
    [[nodiscard]] std::uint64_t read_word(Gpa at) const;
    [[nodiscard]] bool is_ram(std::uint64_t gpa) const {
        return bench_.machine.ram().page_or_null(pfn_of(Gpa{gpa})) != nullptr;
    }
    void write(const memory::WritableRam& ram, std::uint64_t gpa, std::uint64_t word) const;

    const Target& target_;
    const relocate::Generation& generation_;
    Bench& bench_;
    const unicorn::Board& board_;
    const Case& run_;
    const Checker::Options& options_;
    std::vector<kimage::Move> moves_;
    Roles roles_;

    CaseResult result_;
    std::vector<Gpa> differing_;  // pages, at the last comparison, excused or not
    std::uint64_t head_ = 0;
    relocate::CpuState at_call_;    // P0
    relocate::CpuState at_callee_;  // P1
    unicorn::CalleeReturn leaving_;
    relocate::Return way_;
};

}  // namespace jumpback::relocate_check
