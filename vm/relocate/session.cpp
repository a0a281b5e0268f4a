// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/session.h"

#include <algorithm>

#include "vm/relocate/child.h"

namespace jumpback::relocate_check {
namespace {

void keep_example(Tally& tally, const Finding& finding) {
    const auto same = [&](const Finding& kept) {
        return kept.known == finding.known && kept.same_kind(finding);
    };
    if (std::none_of(tally.known_examples.begin(), tally.known_examples.end(), same)) {
        tally.known_examples.push_back(finding);
    }
}

void keep_failure(Tally& tally, FailedCase failed) {
    const auto same = [&](const FailedCase& kept) {
        return kept.first_news().same_kind(failed.first_news());
    };
    if (tally.failures.size() < kKeptFailures ||
        std::none_of(tally.failures.begin(), tally.failures.end(), same)) {
        tally.failures.push_back(std::move(failed));
    }
}

void add(Tally& tally, const Case& made, CaseResult& result) {
    ++tally.cases;
    tally.pages += result.pages;
    tally.most_pages = std::max(tally.most_pages, result.pages);
    tally.most_list_pages = std::max<std::uint64_t>(tally.most_list_pages, made.list_frames.size());
    ++tally.origins[std::string(name_of(made.origin))];
    if (result.came_back) {
        ++tally.came_back;
        ++tally.callees[std::string(name_of(result.callee))];
    }
    for (unsigned sign = 0; sign < relocate::kSigns; ++sign) {
        tally.could_show[sign] += result.could_show[sign] ? 1 : 0;
        tally.shown[sign] += result.shown[sign] ? 1 : 0;
    }
    for (unsigned rule = 0; rule < relocate::kRules; ++rule) {
        tally.offered[rule] += result.offered[rule] ? 1 : 0;
        tally.used[rule] += result.used[rule] ? 1 : 0;
    }
    if (result.findings.empty()) {
        ++tally.clean;
    } else if (result.failed()) {
        ++tally.failed;
        keep_failure(tally, {made.index, std::move(result.findings)});
    } else {
        ++tally.known;
        for (const Finding& finding : result.findings) {
            keep_example(tally, finding);
        }
    }
}

}  // namespace

const Finding& FailedCase::first_news() const {
    return *std::find_if(findings.begin(), findings.end(),
                         [](const Finding& finding) { return finding.known == nullptr; });
}

Status rehearse(const std::shared_ptr<const Target>& target, const GeneratorOptions& options,
                const ListTamper& tamper) {
    constexpr std::uint64_t kCases = 64;  // of each layout and way
    constexpr unsigned kSeconds = 300;    // the watchdog ends what loops long before
    const auto work = [&](std::size_t) {
        ChildAnswer answer;
        Result<Session> session = Session::create(target, options);
        Tally tally;
        Status done = success();
        if (session) {
            session.value().tamper_with(tamper);
            done = session.value().run(0, kCases, tally);
        } else {
            done = session.error();
        }
        answer.text = done ? "" : done.error().message();
        return answer;
    };
    const Result<std::vector<ChildAnswer>> answers = run_in_children(1, kSeconds, work);
    if (!answers) {
        return answers.error();
    }
    if (!answers->front().text.empty()) {
        return Error{"relocate_kernel of " + target->code.release, answers->front().text};
    }
    return success();
}

Result<Session> Session::create(const std::shared_ptr<const Target>& target,
                                const GeneratorOptions& options) {
    Result<Checker> checker = Checker::create(target);
    if (!checker) {
        return checker.error();
    }
    return Session(std::move(checker).value(), options);
}

Case Session::make(std::uint64_t index) {
    const Target& target = checker_.target();
    const CaseGenerator generator(target.generation, *target.rules, options_,
                                  [this](unsigned variant, bool large) -> const unicorn::Board& {
                                      return checker_.board(variant, large);
                                  });
    return generator.make(index);
}

Status Session::run(std::uint64_t first, std::uint64_t count, Tally& tally) {
    Checker::Options options;
    options.both_ways = options_.both_ways;
    options.tamper = tamper_;
    options.record_some = true;
    for (std::uint64_t index = first; index < first + count; ++index) {
        const Case made = make(index);
        Result<CaseResult> result = checker_.run(made, options);
        if (!result) {
            return result.error();
        }
        add(tally, made, result.value());
    }
    return success();
}

}  // namespace jumpback::relocate_check
