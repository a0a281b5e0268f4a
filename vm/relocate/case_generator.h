// SPDX-License-Identifier: GPL-2.0-or-later
//
// Makes case `index` of a seed: which machine, which list, which call, and what the callee does.
#pragma once

#include <cstdint>
#include <functional>

#include "model/kimage/load_rules.h"
#include "model/relocate/generation.h"
#include "vm/relocate/case.h"
#include "vm/unicorn/relocate_machine.h"

namespace jumpback::relocate_check {

// Cases of up to so many pages run on machines with little RAM: comparing all of it is what a small
// case costs.
inline constexpr std::uint64_t kSmallPages = 16;
inline constexpr std::uint64_t kSmallArena = 80;    // frames
inline constexpr std::uint64_t kLargePages = 1100;  // three list pages of x86_64 and more
inline constexpr std::uint64_t kLargeArena = 2400;

struct GeneratorOptions {
    std::uint64_t seed = 1;
    std::uint64_t pages = kLargePages;  // no list moves more
    bool both_ways = true;
};

class CaseGenerator {
  public:
    // The board of machine `variant`, with little or much RAM.
    using Boards = std::function<const unicorn::Board&(unsigned variant, bool large)>;

    CaseGenerator(const relocate::Generation& generation, const kimage::LoadRules& rules,
                  const GeneratorOptions& options, Boards boards)
        : generation_(generation), rules_(rules), options_(options), boards_(std::move(boards)) {}

    [[nodiscard]] Case make(std::uint64_t index) const;

  private:
    const relocate::Generation& generation_;
    const kimage::LoadRules& rules_;
    GeneratorOptions options_;
    Boards boards_;
};

}  // namespace jumpback::relocate_check
