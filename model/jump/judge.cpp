// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/judge.h"

#include <algorithm>

namespace jumpback::jump {
namespace {

std::string number(std::size_t value) { return std::to_string(value); }

std::string name_of(const TraceStep& found) {
    if (found.step == Step::other) {
        return found.symbol.empty() ? "an unknown step" : found.symbol + "()";
    }
    std::string text(info(found.step).id);
    return found.symbol.empty() ? text : text + " (" + found.symbol + ")";
}

std::string return_text(const std::optional<int>& value) {
    return value ? "returns " + std::to_string(*value) : "does not return";
}

// Walks trace and model side by side until they part.
class Comparison {
  public:
    Comparison(const Kernel& kernel, const ExpectedTrace& expected, const Trace& trace)
        : kernel_(kernel), expected_(expected), trace_(trace) {}

    std::optional<Divergence> first() {
        std::size_t next = 0;  // in expected_
        for (std::size_t at = 0; at < trace_.steps.size(); ++at) {
            const TraceStep& found = trace_.steps[at];
            while (next < expected_.steps.size() && expected_.steps[next].step != found.step &&
                   expected_.steps[next].optional) {
                ++next;
            }
            if (next == expected_.steps.size()) {
                return surplus(at);
            }
            if (expected_.steps[next].step != found.step) {
                return parted(at, next);
            }
            if (auto wrong = argument(at); wrong) {
                return wrong;
            }
            if ((found.result == 0) != (expected_.steps[next].result == 0)) {
                return result(at, expected_.steps[next]);
            }
            ++next;
        }
        while (next < expected_.steps.size() && expected_.steps[next].optional) {
            ++next;
        }
        if (next < expected_.steps.size()) {
            const std::string wanted = describe(expected_.steps[next].step, kernel_.version);
            return make(DivergenceKind::ended_early, trace_.steps.size(), wanted, "",
                        "the trace ends where " + wanted + " is expected");
        }
        if (trace_.returned != expected_.returned) {
            return make(DivergenceKind::wrong_return, trace_.steps.size(),
                        return_text(expected_.returned), return_text(trace_.returned),
                        "the function " + return_text(trace_.returned) + ", a correct kernel's " +
                            return_text(expected_.returned));
        }
        return std::nullopt;
    }

  private:
    static Divergence make(DivergenceKind kind, std::size_t at, std::string expected,
                           std::string found, std::string text) {
        return {kind, at, std::move(expected), std::move(found), std::move(text)};
    }
    [[nodiscard]] std::string place(std::size_t at) const { return "step " + number(at + 1); }

    [[nodiscard]] bool comes_in_trace(Step step, std::size_t from, std::size_t to) const {
        return std::any_of(trace_.steps.begin() + static_cast<std::ptrdiff_t>(from),
                           trace_.steps.begin() + static_cast<std::ptrdiff_t>(to),
                           [&](const TraceStep& row) { return row.step == step; });
    }

    [[nodiscard]] Divergence surplus(std::size_t at) const {
        const TraceStep& found = trace_.steps[at];
        const bool again = found.step != Step::other && comes_in_trace(found.step, 0, at);
        return make(again                       ? DivergenceKind::twice
                    : found.step == Step::other ? DivergenceKind::unknown_call
                                                : DivergenceKind::unexpected,
                    at, "", name_of(found),
                    place(at) + ": " + name_of(found) + (again ? " a second time" : "") +
                        " where a correct kernel is done");
    }

    [[nodiscard]] Divergence parted(std::size_t at, std::size_t next) const {
        const TraceStep& found = trace_.steps[at];
        const Step step = expected_.steps[next].step;
        const std::string wanted = describe(step, kernel_.version);
        std::string text = place(at) + ": " + wanted + " is expected, " + name_of(found) + " found";
        if (found.step == Step::other) {
            return make(DivergenceKind::unknown_call, at, wanted, name_of(found),
                        text + ", a call that the model does not know");
        }
        if (comes_in_trace(found.step, 0, at)) {
            return make(DivergenceKind::twice, at, wanted, name_of(found),
                        text + ", which ran before");
        }
        if (comes_in_trace(step, at, trace_.steps.size())) {
            const bool later_expected = std::any_of(
                expected_.steps.begin() + static_cast<std::ptrdiff_t>(next), expected_.steps.end(),
                [&](const ExpectedStep& row) { return row.step == found.step; });
            return later_expected ? make(DivergenceKind::out_of_order, at, wanted, name_of(found),
                                         text + ": out of order")
                                  : make(DivergenceKind::unexpected, at, wanted, name_of(found),
                                         text + ", which a correct kernel does not do here");
        }
        const std::string_view harm = info(step).without;
        return make(
            DivergenceKind::missing, at, wanted, name_of(found),
            text + ": " + wanted + " never runs" + (harm.empty() ? "" : "; " + std::string(harm)));
    }

    [[nodiscard]] std::optional<Divergence> argument(std::size_t at) const {
        const TraceStep& found = trace_.steps[at];
        const StepInfo& row = info(found.step);
        if (!row.argument || !found.argument || *row.argument == *found.argument) {
            return std::nullopt;
        }
        return make(DivergenceKind::wrong_argument, at, std::string(row.argument_text),
                    std::to_string(*found.argument),
                    place(at) + ": " + name_of(found) + " is called with " +
                        std::to_string(*found.argument) + ", expected " +
                        std::string(row.argument_text) + " (" + std::to_string(*row.argument) +
                        ")");
    }

    [[nodiscard]] Divergence result(std::size_t at, const ExpectedStep& expected) const {
        const TraceStep& found = trace_.steps[at];
        const auto word = [](int value) { return std::string(value == 0 ? "succeeds" : "fails"); };
        return make(DivergenceKind::wrong_result, at, word(expected.result), word(found.result),
                    place(at) + ": " + name_of(found) + " " + word(found.result) +
                        " where the scenario says that it " + word(expected.result));
    }

    const Kernel& kernel_;
    const ExpectedTrace& expected_;
    const Trace& trace_;
};

// A kernel that hangs in its second mutex_lock() shows B3 by where its trace ends.
bool hangs_like(const Kernel& kernel, const ExpectedTrace& faulty, const Trace& trace) {
    if (trace.returned || trace.steps.empty() ||
        trace.steps.back().step != Step::take_transition_mutex) {
        return false;
    }
    ExpectedTrace cut = faulty;
    const auto at = std::find_if(cut.steps.begin(), cut.steps.end(), [](const ExpectedStep& row) {
        return row.step == Step::take_transition_mutex;
    });
    if (at == cut.steps.end()) {
        return false;
    }
    cut.steps.erase(at + 1, cut.steps.end());
    cut.returned.reset();
    return !Comparison(kernel, cut, trace).first();
}

// The smallest set of known faults that makes exactly this trace; empty: none does.
std::vector<FaultId> explain(const Kernel& kernel, const Scenario& scenario, const Trace& trace) {
    const auto faults = known_faults();
    std::vector<FaultId> best;
    for (unsigned mask = 1; mask < 1U << faults.size(); ++mask) {
        std::vector<FaultId> chosen;
        for (std::size_t i = 0; i < faults.size(); ++i) {
            if ((mask >> i & 1U) != 0) {
                chosen.push_back(faults[i].id);
            }
        }
        if (!best.empty() && chosen.size() >= best.size()) {
            continue;
        }
        const ExpectedTrace faulty = faulty_trace(kernel, scenario, chosen);
        if (!Comparison(kernel, faulty, trace).first() || hangs_like(kernel, faulty, trace)) {
            best = chosen;
        }
    }
    return best;
}

std::string fault_text(const Kernel& kernel, FaultId id) {
    const KnownFault& row = fault(id);
    return "this is the " + std::string(row.name) + " (" + std::string(row.code) +
           "): " + std::string(row.title) + "; since " + std::string(row.introduced) +
           ", fixed by " + std::string(row.fixed) +
           (row.known_in(kernel.version)
                ? ""
                : "; " + to_string(kernel.version) + " should not have it");
}

std::string joined(const std::vector<std::string>& parts) {
    std::string text;
    for (const std::string& part : parts) {
        text += (text.empty() ? "" : "; ") + part;
    }
    return text;
}

}  // namespace

std::string_view to_string(DivergenceKind kind) {
    switch (kind) {
        case DivergenceKind::missing:
            return "missing";
        case DivergenceKind::out_of_order:
            return "out-of-order";
        case DivergenceKind::twice:
            return "twice";
        case DivergenceKind::unexpected:
            return "unexpected";
        case DivergenceKind::unknown_call:
            return "unknown-call";
        case DivergenceKind::wrong_argument:
            return "wrong-argument";
        case DivergenceKind::ended_early:
            return "ended-early";
        case DivergenceKind::wrong_result:
            return "wrong-result";
        case DivergenceKind::wrong_return:
            return "wrong-return";
    }
    return "";
}

Judgement judge(const Kernel& kernel, const Scenario& scenario, const Trace& trace) {
    Judgement out;
    const ExpectedTrace expected = expected_trace(kernel, scenario);
    out.divergence = Comparison(kernel, expected, trace).first();
    const Ledger ledger = keep_books(kernel, scenario.branch, trace);
    out.violations = ledger.violations;
    if (!out.divergence) {
        out.text = "as a correct " + to_string(kernel.version) + " does";
        return out;
    }
    if (trace.returned) {
        out.undone = left_undone(kernel, ledger);
    }
    out.faults = explain(kernel, scenario, trace);
    if (!out.faults.empty()) {
        out.outcome = Outcome::known_fault;
        out.faults_known_here = std::all_of(out.faults.begin(), out.faults.end(), [&](FaultId id) {
            return fault(id).known_in(kernel.version);
        });
        std::vector<std::string> parts;
        for (const FaultId id : out.faults) {
            parts.push_back(fault_text(kernel, id));
        }
        out.text = joined(parts);
        return out;
    }
    out.outcome = Outcome::divergence;
    out.text = out.divergence->text;
    if (!out.undone.empty()) {
        out.text += "; " + joined(out.undone);
    }
    return out;
}

Judgement judge_machine(const Kernel& kernel, Branch branch, const Trace& trace) {
    Judgement out;
    const ExpectedTrace expected = expected_machine_trace(kernel, branch);
    out.divergence = Comparison(kernel, expected, trace).first();
    out.outcome = out.divergence ? Outcome::divergence : Outcome::match;
    out.text = out.divergence ? out.divergence->text
                              : "as a correct " + to_string(kernel.version) + " does";
    return out;
}

}  // namespace jumpback::jump
