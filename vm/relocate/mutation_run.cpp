// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/mutation_run.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "vm/relocate/child.h"
#include "vm/relocate/survivors.h"

namespace jumpback::relocate_check {
namespace {

constexpr std::uint64_t kLookedAt = 4000;  // cases from which the plan picks
constexpr std::uint64_t kFewPages = 5;     // of a picked case, unless its list is long
constexpr std::size_t kLongLists = 3;      // lists of several pages
constexpr std::size_t kMostCases = 64;
// Then the child is taken for hung. Far longer than any host needs: the watchdog of the machine, in
// CPU time, ends what loops.
constexpr unsigned kSecondsPerMutant = 120;

// What tells one case from another as far as paths through the code go.
using Shape = std::tuple<bool, bool, bool, bool, CalleeKind, unsigned, std::uint64_t>;

Shape shape_of(const Case& run) {
    const CalleeKind kind = run.preserve ? run.callee.kind : CalleeKind::kPushes;
    return {run.preserve,
            run.host_memory_encryption,
            run.cpu_has_pae,
            run.list_frames.size() > 1,
            kind,
            run.board,
            std::min<std::uint64_t>(run.pages(), 2)};
}

std::vector<Case> pick_cases(Session& session) {
    std::vector<Case> cases;
    std::set<Shape> seen;
    std::size_t long_lists = 0;
    for (std::uint64_t index = 0; index < kLookedAt && cases.size() < kMostCases; ++index) {
        Case made = session.make(index);
        const bool is_long = made.list_frames.size() > 1;
        if ((is_long ? long_lists >= kLongLists : made.pages() > kFewPages) || made.large ||
            !seen.insert(shape_of(made)).second) {
            continue;
        }
        long_lists += is_long ? 1 : 0;
        cases.push_back(std::move(made));
    }
    // Jumps that come back with a page or more catch most; long lists cost most.
    std::stable_sort(cases.begin(), cases.end(), [](const Case& left, const Case& right) {
        const auto rank = [](const Case& run) {
            return run.list_frames.size() > 1 ? 2 : run.preserve && run.pages() > 0 ? 0 : 1;
        };
        return rank(left) < rank(right);
    });
    return cases;
}

// One small case of each kind of call.
std::vector<std::size_t> pick_traced(const std::vector<Case>& cases) {
    std::vector<std::size_t> picked;
    std::set<std::pair<bool, bool>> seen;
    for (std::size_t at = 0; at < cases.size(); ++at) {
        if (cases[at].pages() <= 1 &&
            seen.emplace(cases[at].preserve, cases[at].host_memory_encryption).second) {
            picked.push_back(at);
        }
    }
    return picked;
}

std::vector<std::string> shown_by(const CaseResult& result) {
    std::vector<std::string> shown;
    for (const Finding& finding : result.findings) {
        std::string text(name_of(finding.stop));
        text += " " + finding.place;
        text += finding.known != nullptr ? " (" + std::string(finding.known->id) + ")" : "";
        shown.push_back(std::move(text));
    }
    return shown;
}

// The first difference between what a case shows on the real code and on the mutant; empty: none.
std::string first_difference(const std::vector<std::string>& real, const CaseResult& result) {
    const std::vector<std::string> shown = shown_by(result);
    for (std::size_t at = 0; at < shown.size(); ++at) {
        if (std::find(real.begin(), real.end(), shown[at]) == real.end()) {
            return result.findings[at].text();
        }
    }
    for (const std::string& item : real) {
        if (std::find(shown.begin(), shown.end(), item) == shown.end()) {
            return "no longer shows " + item;
        }
    }
    return "";
}

// The function that an instruction belongs to.
std::string function_at(const Target& target, std::uint64_t offset) {
    const std::string name = target.name_at(offset);
    return name.substr(0, name.find('+'));
}

// Takes functions away of which nothing was executed.
void leave_out_what_never_runs(MutationPlan& plan) {
    std::set<std::string> run;
    for (const Instruction& instruction : plan.code) {
        if (plan.executed[instruction.offset]) {
            run.insert(function_at(*plan.target, instruction.offset));
        }
    }
    std::set<std::string> not_run;
    std::erase_if(plan.code, [&](const Instruction& instruction) {
        const std::string function = function_at(*plan.target, instruction.offset);
        if (run.contains(function)) {
            return false;
        }
        not_run.insert(function);
        return true;
    });
    plan.left_out.assign(not_run.begin(), not_run.end());
}

// In the child.
MutantResult try_mutant(const MutationPlan& plan, const Mutant& mutant) {
    MutantResult out{mutant, Fate::kUnexplained, plan.target->name_at(mutant.offset), ""};
    Result<Checker> checker = Checker::create(mutated(*plan.target, mutant));
    if (!checker) {
        out.fate = Fate::kCaught;
        out.why = "the machine refuses the code: " + checker.error().message();
        return out;
    }
    const auto differs = [&](std::size_t at, Traces* traces) {
        Checker::Options options;
        options.traces = traces;
        const Result<CaseResult> result = checker.value().run(plan.cases[at], options);
        out.why = result ? first_difference(plan.shown[at], *result) : result.error().message();
        out.fate = out.why.empty() ? Fate::kUnexplained : Fate::kCaught;
        return out.fate == Fate::kCaught;
    };
    // Without a record first: changed code may loop, and the record of that is long.
    for (std::size_t at = 0; at < plan.cases.size(); ++at) {
        if (differs(at, nullptr)) {
            return out;
        }
    }
    for (const std::size_t at : plan.traced) {
        Traces traces;
        if (differs(at, &traces)) {
            return out;
        }
    }
    return out;
}

}  // namespace

std::string_view name_of(Fate fate) {
    switch (fate) {
        case Fate::kCaught:
            return "caught";
        case Fate::kCrashed:
            return "engine crash";
        case Fate::kHung:
            return "engine hung";
        case Fate::kNeverRun:
            return "never executed";
        case Fate::kSameCode:
            return "same instruction";
        case Fate::kDeadValue:
            return "dead value";
        case Fate::kScratchOnly:
            return "scratch memory only";
        case Fate::kSameValue:
            return "no effect here";
        case Fate::kUnexplained:
            return "unexplained";
    }
    return "?";
}

std::uint64_t MutationPlan::instructions_executed() const {
    return static_cast<std::uint64_t>(std::count_if(
        code.begin(), code.end(),
        [this](const Instruction& instruction) { return executed[instruction.offset]; }));
}

Result<MutationPlan> plan_mutants(const std::shared_ptr<const Target>& target, std::uint64_t seed) {
    Result<std::vector<Instruction>> code = disassemble(*target);
    if (!code) {
        return code.error();
    }
    GeneratorOptions options;
    options.seed = seed;
    options.pages = kSmallPages;
    const Status rehearsed = rehearse(target, options, nullptr);
    if (!rehearsed) {
        return rehearsed.error();
    }
    Result<Session> session = Session::create(target, options);
    if (!session) {
        return session.error();
    }
    MutationPlan plan;
    plan.target = target;
    plan.code = std::move(code).value();
    plan.cases = pick_cases(session.value());
    plan.traced = pick_traced(plan.cases);
    plan.executed.resize(target->code.blob.size(), false);
    plan.seed = seed;
    for (const Case& run : plan.cases) {
        Traces traces;
        Checker::Options traced;
        traced.traces = &traces;
        const Result<CaseResult> result = session.value().checker().run(run, traced);
        if (!result) {
            return result.error();
        }
        if (result->failed()) {
            return Error{"case " + std::to_string(run.index) + " of seed " + std::to_string(seed),
                         "the code fails unchanged: " + result->findings.front().text()};
        }
        plan.shown.push_back(shown_by(*result));
        for (const Trace* trace : {&traces.there, &traces.back}) {
            for (const unicorn::Step& step : trace->steps) {
                const std::uint64_t offset = step.link - target->code.begin.raw;
                if (offset < plan.executed.size()) {
                    plan.executed[offset] = true;
                }
            }
        }
        plan.recorded.push_back(std::move(traces));
    }
    leave_out_what_never_runs(plan);
    return plan;
}

Result<std::vector<MutantResult>> run_mutants(const MutationPlan& plan, std::uint64_t first,
                                              std::uint64_t count) {
    std::vector<MutantResult> results;
    std::vector<std::size_t> to_try;  // those that some case executes
    for (std::uint64_t index = first; index < first + count; ++index) {
        Mutant mutant = make_mutant(*plan.target, plan.code, plan.seed, index);
        MutantResult result{mutant, Fate::kNeverRun, plan.target->name_at(mutant.offset),
                            "no case executes it"};
        if (plan.executed[mutant.offset]) {
            to_try.push_back(results.size());
        }
        results.push_back(std::move(result));
    }
    const auto work = [&](std::size_t item) {
        MutantResult tried = try_mutant(plan, results[to_try[item]].mutant);
        if (!caught(tried.fate)) {
            explain_survivor(plan, tried);
        }
        return ChildAnswer{static_cast<std::uint8_t>(tried.fate), tried.why};
    };
    const Result<std::vector<ChildAnswer>> answers =
        run_in_children(to_try.size(), kSecondsPerMutant, work);
    if (!answers) {
        return answers.error();
    }
    for (std::size_t item = 0; item < to_try.size(); ++item) {
        MutantResult& result = results[to_try[item]];
        const ChildAnswer& answer = (*answers)[item];
        result.why = answer.text;
        result.fate = answer.ending == ChildAnswer::kCrashed ? Fate::kCrashed
                      : answer.ending == ChildAnswer::kHung  ? Fate::kHung
                                                             : static_cast<Fate>(answer.code);
    }
    return results;
}

}  // namespace jumpback::relocate_check
