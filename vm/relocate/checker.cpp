// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/checker.h"

#include "vm/relocate/case_run.h"

namespace jumpback::relocate_check {

Result<Checker> Checker::create(const std::shared_ptr<const Target>& target) {
    Checker checker(target);
    const Result<Bench*> first = checker.benches_.get(0, false);
    if (!first) {
        return first.error();
    }
    return checker;
}

const unicorn::Board& Checker::board(unsigned variant, bool large) {
    return benches_.get(variant, large).value()->machine.board();
}

std::span<const Gpa> Checker::arena(unsigned variant, bool large) {
    return benches_.get(variant, large).value()->arena;
}

Result<CaseResult> Checker::run(const Case& run, const Options& options) {
    const Result<Bench*> bench = benches_.get(run.board, run.large);
    if (!bench) {
        return bench.error();
    }
    return CaseRun(*target_, **bench, run, options).go();
}

std::vector<kimage::Move> moves_of(const std::vector<kimage::Entry>& entries) {
    std::vector<kimage::Move> moves;
    Gpa cursor;
    for (const kimage::Entry& entry : entries) {
        if (entry.is_destination()) {
            cursor = entry.page();
        } else if (entry.is_source()) {
            moves.push_back({cursor, entry.page()});
            cursor.raw += kPageSize;
        }
    }
    return moves;
}

}  // namespace jumpback::relocate_check
