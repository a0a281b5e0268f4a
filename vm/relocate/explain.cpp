// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/explain.h"

#include <algorithm>
#include <span>

#include "model/kimage/list_writer.h"
#include "model/memory/text.h"
#include "model/relocate/relocate.h"
#include "vm/relocate/roles.h"

namespace jumpback::relocate_check {
namespace {

using memory::count_of;
using memory::hex;

constexpr std::size_t kBefore = 14;  // lines shown before the blamed one
constexpr std::size_t kAfter = 4;
constexpr std::size_t kFoldFrom = 4;  // lone DESTINATIONs in a row

std::string place_of(const Case& run, std::uint64_t index, kimage::Word word) {
    const std::uint64_t fit = kimage::words_per_page(word) - 1;
    return "list page " + std::to_string(index / fit) + " (" +
           hex(run.list_frames.at(index / fit).raw) + "), word " + std::to_string(index % fit);
}

// A DESTINATION word that no SOURCE follows.
bool lone(const std::vector<kimage::Entry>& entries, std::size_t index) {
    return entries[index].is_destination() &&
           (index + 1 == entries.size() || !entries[index + 1].is_source());
}

// The last write to `gpa`, or none.
std::optional<std::uint64_t> last_writer(const Trace& trace, std::uint64_t gpa) {
    std::optional<std::uint64_t> step;
    for (const unicorn::TracedWrite& write : trace.writes) {
        if (gpa - write.gpa.raw < write.size.raw) {
            step = write.step;
        }
    }
    return step;
}

// The same place in the page that a move pairs with the one at `gpa`: where its bytes came from or
// went to.
std::optional<std::uint64_t> partner_of(std::span<const kimage::Move> moves, std::uint64_t gpa) {
    const Gpa page = gpa_of(pfn_of(Gpa{gpa}));
    for (const kimage::Move& move : moves) {
        if (move.source != move.destination && (move.source == page || move.destination == page)) {
            const Gpa other = move.source == page ? move.destination : move.source;
            return other.raw + gpa % kPageSize;
        }
    }
    return std::nullopt;
}

class TraceView {
  public:
    TraceView(const Target& target, const Trace& trace, const Roles& roles) : roles_(roles) {
        for (std::size_t at = 0; at < trace.steps.size(); ++at) {
            const unicorn::Step& step = trace.steps[at];
            if (!lines_.empty() && lines_.back().link == step.link &&
                lines_.back().text == step.text && step.text.starts_with("rep")) {
                ++lines_.back().times;
                continue;
            }
            const std::uint64_t offset = step.link - target.code.begin.raw;
            lines_.push_back({at, 1, step.link,
                              offset < target.code.blob.size() ? target.name_at(offset) : "?",
                              step.text, "", false});
        }
        for (const unicorn::TracedWrite& write : trace.writes) {
            if (TraceLine* line = line_of(write.step)) {
                line->wrote = count_of(write.size.raw, "byte") + " " + hex(write.value) + " to " +
                              hex(write.gpa.raw) + ", " + roles_.of(write.gpa).place;
            }
        }
    }

    [[nodiscard]] std::vector<TraceLine> around(std::uint64_t step) {
        TraceLine* line = line_of(step);
        if (line == nullptr) {
            return end();
        }
        line->blamed = true;
        const auto at = static_cast<std::size_t>(line - lines_.data());
        const std::size_t from = at > kBefore ? at - kBefore : 0;
        const std::size_t to = std::min(lines_.size(), at + kAfter + 1);
        return {lines_.begin() + static_cast<std::ptrdiff_t>(from),
                lines_.begin() + static_cast<std::ptrdiff_t>(to)};
    }
    [[nodiscard]] std::vector<TraceLine> end() const {
        const std::size_t from =
            lines_.size() > kBefore + kAfter ? lines_.size() - kBefore - kAfter : 0;
        return {lines_.begin() + static_cast<std::ptrdiff_t>(from), lines_.end()};
    }

  private:
    TraceLine* line_of(std::uint64_t step) {
        const auto after = std::upper_bound(
            lines_.begin(), lines_.end(), step,
            [](std::uint64_t value, const TraceLine& line) { return value < line.step; });
        return after == lines_.begin() ? nullptr : &*std::prev(after);
    }

    const Roles& roles_;
    std::vector<TraceLine> lines_;
};

// No instruction wrote what differs: what was done to the other page of such a move is shown.
void missing_write(const Trace& trace, const CaseResult& result,
                   std::span<const kimage::Move> moves, const Roles& roles, TraceView& view,
                   Explanation& out) {
    out.blame = "no instruction of this leg wrote the bytes that differ: a write is missing";
    for (const Finding& finding : result.findings) {
        if (finding.known != nullptr || finding.kind != FindingKind::kMemory) {
            continue;
        }
        const auto partner = partner_of(moves, finding.gpa);
        const auto step = partner ? last_writer(trace, *partner) : std::nullopt;
        if (step) {
            out.trace = view.around(*step);
            out.blame += " to " + finding.place + "; step " + std::to_string(*step) +
                         " was the last to write its counterpart, " + roles.of(Gpa{*partner}).place;
            return;
        }
    }
    out.blame += "; the last instructions were";
}

}  // namespace

std::vector<ListLine> list_lines(const Case& run, kimage::Word word, bool swaps) {
    std::vector<ListLine> lines;
    const bool empty = run.list_frames.empty() || run.entries.empty();
    lines.push_back({"head",
                     empty ? kimage::kIndDone : run.list_frames[0].raw | kimage::kIndIndirection,
                     empty ? "DONE" : "INDIRECTION"});
    const std::uint64_t fit = kimage::words_per_page(word) - 1;
    std::uint64_t move = 0;
    Gpa cursor;
    for (std::size_t index = 0; index < run.entries.size(); ++index) {
        const kimage::Entry entry = run.entries[index];
        if (index > 0 && index % fit == 0) {
            lines.push_back({"list page " + std::to_string(index / fit - 1) + ", last word",
                             run.list_frames.at(index / fit).raw | kimage::kIndIndirection,
                             "INDIRECTION"});
        }
        std::size_t end = index;
        while (end < run.entries.size() && lone(run.entries, end) &&
               (end == index || end % fit != 0)) {
            ++end;
        }
        if (end - index >= kFoldFrom) {
            lines.push_back({place_of(run, index, word), entry.raw,
                             "and on to word " + std::to_string((end - 1) % fit) + ": " +
                                 std::to_string(end - index) + " DESTINATIONs without a SOURCE"});
            index = end - 1;
            cursor = run.entries[index].page();
            continue;
        }
        if (entry.is_destination()) {
            cursor = entry.page();
            lines.push_back(
                {place_of(run, index, word), entry.raw, "DESTINATION " + hex(cursor.raw)});
        } else if (entry.is_source()) {
            const std::string what = entry.page() == cursor ? ": stays where it is"
                                     : swaps                ? ": swapped with " + hex(cursor.raw)
                                                            : ": copied to " + hex(cursor.raw);
            lines.push_back({place_of(run, index, word), entry.raw,
                             "SOURCE " + hex(entry.page().raw) + what + " (move " +
                                 std::to_string(move++) + ")"});
            cursor.raw += kPageSize;
        } else {
            lines.push_back({place_of(run, index, word), entry.raw, "?"});
        }
    }
    if (!empty) {
        lines.push_back({"behind it", kimage::kIndDone, "DONE"});
    }
    return lines;
}

Result<Explanation> explain(Checker& checker, const Case& run, const CaseResult& result,
                            const Checker::Options& options) {
    const Target& target = checker.target();
    Explanation out;
    out.list =
        list_lines(run, target.generation.word(),
                   relocate::action_of(target.generation, run.preserve) == relocate::Action::kSwap);
    Traces traces;
    Checker::Options traced = options;
    traced.traces = &traces;
    const Result<CaseResult> again = checker.run(run, traced);
    if (!again) {
        return again.error();
    }
    const Trace& trace = traces.back.steps.empty() ? traces.there : traces.back;
    const std::vector<kimage::Move> moves = moves_of(run.entries);
    const Roles roles(target, checker.board(run.board, run.large), run, moves,
                      checker.arena(run.board, run.large));
    TraceView view(target, trace, roles);
    // Of all bytes that are wrong in the end: who wrote one first, and left it so?
    std::optional<std::uint64_t> first;
    const Finding* blamed = nullptr;
    bool memory = false;
    for (const Finding& finding : result.findings) {
        if (finding.known != nullptr || finding.kind != FindingKind::kMemory) {
            continue;
        }
        memory = true;
        const auto step = last_writer(trace, finding.gpa);
        if (step && (!first || *step < *first)) {
            first = step;
            blamed = &finding;
        }
    }
    if (first) {
        out.trace = view.around(*first);
        out.blame = "first wrong write: step " + std::to_string(*first) + ", to " + blamed->place;
        return out;
    }
    out.trace = view.end();
    out.blame = "the last instructions before the stop";
    if (memory) {
        missing_write(trace, result, moves, roles, view, out);
    }
    return out;
}

std::vector<std::string> describe(const Case& run, relocate::Isa isa) {
    std::vector<std::string> lines;
    lines.push_back(std::string(name_of(run.origin)) + " list, " + count_of(run.pages(), "page") +
                    ", " + count_of(run.entries.size(), "word") + " in " +
                    count_of(run.list_frames.size(), "list page"));
    std::string call = run.preserve ? "jump (context preserved)" : "plain kexec";
    call += " to " + hex(run.start) + ", machine layout " + std::to_string(run.board) +
            (run.large ? ", much RAM" : "");
    if (isa == relocate::Isa::kI386) {
        call += run.cpu_has_pae ? "" : ", a CPU without PAE";
    } else {
        call += run.host_memory_encryption ? ", caches to be flushed" : "";
    }
    lines.push_back(call);
    if (run.preserve) {
        std::string callee = "callee: " + std::string(name_of(run.callee.kind));
        if (run.callee.kind != CalleeKind::kPlain) {
            callee += ", next entry " + hex(run.callee.next_entry);
        }
        callee += ", makes " + count_of(run.callee.changes.size(), "change") + " in memory";
        lines.push_back(callee);
    }
    return lines;
}

}  // namespace jumpback::relocate_check
