// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/checker.h"

#include "vm/relocate/case_run.h"

namespace jumpback::relocate_check {

Result<Checker> Checker::create(const std::shared_ptr<const Target>& target) {
    Checker checker(target);
    for (unsigned variant = 0; variant < unicorn::kBoards; ++variant) {
        const Result<Bench*> bench = checker.benches_.get(variant, false);
        if (!bench) {
            return Error{target->code.release + ", machine layout " + std::to_string(variant),
                         bench.error().message()};
        }
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
    constexpr std::uint64_t kRecorded = 128;
    Traces record;
    Options chosen = options;
    if (options.record_some && options.traces == nullptr && run.index < kRecorded &&
        run.pages() <= 1) {
        chosen.traces = &record;
    }
    return CaseRun(*target_, **bench, run, chosen).go();
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
