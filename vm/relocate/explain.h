// SPDX-License-Identifier: GPL-2.0-or-later
//
// A case laid open: its list word by word, and the instructions around the first wrong write.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vm/relocate/checker.h"

namespace jumpback::relocate_check {

struct ListLine {
    std::string place;  // "head", "list page 0 (0x5000), word 3"
    std::uint64_t raw = 0;
    std::string meaning;  // "SOURCE 0x7000: swapped with 0x9000 (move 2)"
};
// Runs of lone DESTINATION words are folded into one line.
std::vector<ListLine> list_lines(const Case& run, kimage::Word word, bool swaps);

// One instruction, or a repeated one, of a traced run.
struct TraceLine {
    std::uint64_t step = 0;  // number of the first
    std::uint64_t times = 1;
    std::uint64_t link = 0;  // link address in vmlinux
    std::string symbol;      // "swap_pages+0x56"
    std::string text;
    std::string wrote;    // "8 bytes 0x... to destination of move 3", of the last repetition
    bool blamed = false;  // the first wrong write
};

struct Explanation {
    std::vector<ListLine> list;
    std::vector<TraceLine> trace;  // around the first wrong write, or the last ones before the stop
    std::string blame;             // what the trace shows, in one line
};

// Runs `run` once more with a record. `result` is what it showed. Error: the rig's own.
Result<Explanation> explain(Checker& checker, const Case& run, const CaseResult& result,
                            const Checker::Options& options);

// The calls, callee and contents of a case in a few lines.
std::vector<std::string> describe(const Case& run, relocate::Isa isa);

}  // namespace jumpback::relocate_check
