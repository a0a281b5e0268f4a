// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/session.h"

#include <algorithm>

namespace jumpback::relocate_check {
namespace {

constexpr std::size_t kKeptFailures = 16;

void keep_example(Tally& tally, const Finding& finding) {
    const auto same = [&](const Finding& kept) {
        return kept.known == finding.known && kept.same_kind(finding);
    };
    if (std::none_of(tally.known_examples.begin(), tally.known_examples.end(), same)) {
        tally.known_examples.push_back(finding);
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
        if (tally.failures.size() < kKeptFailures) {
            tally.failures.push_back({made.index, std::move(result.findings)});
        }
    } else {
        ++tally.known;
        for (const Finding& finding : result.findings) {
            keep_example(tally, finding);
        }
    }
}

}  // namespace

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
