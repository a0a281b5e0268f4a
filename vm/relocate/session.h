// SPDX-License-Identifier: GPL-2.0-or-later
//
// Many cases of one seed on one kernel, and what they add up to.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vm/relocate/case_generator.h"
#include "vm/relocate/checker.h"

namespace jumpback::relocate_check {

struct FailedCase {
    std::uint64_t index = 0;
    std::vector<Finding> findings;

    // The first one that no known defect explains; a failed case has one.
    [[nodiscard]] const Finding& first_news() const;
};

inline constexpr std::size_t kKeptFailures = 16;

struct Tally {
    std::uint64_t cases = 0;
    std::uint64_t clean = 0;   // no difference
    std::uint64_t known = 0;   // differences that known defects explain
    std::uint64_t failed = 0;  // any other
    std::uint64_t pages = 0;   // moves of all lists
    std::uint64_t came_back = 0;
    std::map<std::string, std::uint64_t> origins;  // of lists
    std::map<std::string, std::uint64_t> callees;  // of cases that came back
    std::uint64_t most_pages = 0;
    std::uint64_t most_list_pages = 0;
    // By relocate::Sign: cases that could show a known defect of the kernel, and that did.
    std::array<std::uint64_t, relocate::kSigns> could_show{};
    std::array<std::uint64_t, relocate::kSigns> shown{};
    // By relocate::Rule: cases in which the rule held, and in which it excused something.
    std::array<std::uint64_t, relocate::kRules> offered{};
    std::array<std::uint64_t, relocate::kRules> used{};
    // The first kKeptFailures, and beyond these the first case of each further kind, told by the
    // first finding that no known defect explains.
    std::vector<FailedCase> failures;
    std::vector<Finding> known_examples;  // one for each defect
};

// Runs a few cases in a child process: damaged code may bring the emulator down, and a run of many
// cases has no other process than the caller's. Error: the child died, or what Session::run says.
Status rehearse(const std::shared_ptr<const Target>& target, const GeneratorOptions& options,
                const ListTamper& tamper);

class Session {
  public:
    // Error: no machine can be made.
    static Result<Session> create(const std::shared_ptr<const Target>& target,
                                  const GeneratorOptions& options);

    // Cases [first, first + count) are added to `tally`. Error: the rig's own.
    Status run(std::uint64_t first, std::uint64_t count, Tally& tally);

    [[nodiscard]] Case make(std::uint64_t index);
    [[nodiscard]] Checker& checker() { return checker_; }
    [[nodiscard]] const GeneratorOptions& options() const { return options_; }
    void tamper_with(ListTamper tamper) { tamper_ = std::move(tamper); }
    [[nodiscard]] const ListTamper& tamper() const { return tamper_; }

  private:
    Session(Checker checker, const GeneratorOptions& options)
        : checker_(std::move(checker)), options_(options) {}

    Checker checker_;
    GeneratorOptions options_;
    ListTamper tamper_;
};

}  // namespace jumpback::relocate_check
