// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the cases of one seed cover, and that every list keeps the kernel's promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <set>
#include <string>

#include "model/kimage/list_writer.h"
#include "vm/relocate/case_generator.h"
#include "vm/relocate/checker.h"

namespace jumpback::relocate_check {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;
constexpr std::uint64_t kSwap = 0x3100000;
constexpr std::uint64_t kCases = 6000;

std::uint64_t test_seed() {
    const char* own = std::getenv("JUMPBACK_TEST_SEED");
    return own == nullptr ? 20080711 : std::strtoull(own, nullptr, 0);
}

// RAM as the machine's boards have it: stretches with edges, and some above 4 GiB.
unicorn::Board make_board(bool wide, bool large) {
    unicorn::Board board;
    board.swap_page = Gpa{kSwap};
    board.control_page = Gpa{kSwap - 2 * kPageSize};
    const std::uint64_t pages = (large ? kLargeArena : kSmallArena) / 4;
    const auto add = [&](std::uint64_t from) {
        memory::RamRegion region;
        region.gpa = Gpa{from};
        region.length = Bytes{pages * kPageSize};
        board.arena.push_back(region);
    };
    add(kPageSize);
    add(32 * kMiB);
    add(3 * kGiB - pages * kPageSize);
    add(wide ? 4 * kGiB : 1 * kGiB);
    board.ram = board.arena;
    return board;
}

struct Kind {
    std::string release;
    relocate::Isa isa = relocate::Isa::kX86_64;
};

class GeneratorTest : public testing::TestWithParam<Kind> {
  protected:
    void SetUp() override {
        const auto generation = relocate::find_generation(GetParam().release, GetParam().isa, {});
        ASSERT_TRUE(generation.ok()) << generation.error().message();
        generation_ = *generation->generation;
        const bool wide = GetParam().isa == relocate::Isa::kX86_64;
        const auto rules = kimage::find_rules(GetParam().release,
                                              wide ? kimage::Arch::kX86_64 : kimage::Arch::kI386);
        ASSERT_TRUE(rules.ok()) << rules.error().message();
        rules_ = rules->rules;
        boards_ = {make_board(wide, false), make_board(wide, true)};
        RecordProperty("seed", std::to_string(test_seed()));
    }

    CaseGenerator generator(std::uint64_t pages = kLargePages, std::uint64_t seed = test_seed()) {
        GeneratorOptions options;
        options.seed = seed;
        options.pages = pages;
        return {generation_, *rules_, options,
                [this](unsigned, bool large) -> const unicorn::Board& {
                    return boards_[large ? 1 : 0];
                }};
    }
    [[nodiscard]] std::uint64_t fit() const {
        return kimage::words_per_page(generation_.word()) - 1;
    }

    relocate::Generation generation_;
    const kimage::LoadRules* rules_ = nullptr;
    std::array<unicorn::Board, 2> boards_;
};

std::string seed_of(const Case& made) {
    return "case " + std::to_string(made.index) + " of seed " + std::to_string(made.seed);
}

TEST_P(GeneratorTest, ListsKeepTheKernelsPromises) {
    const CaseGenerator cases = generator();
    for (std::uint64_t index = 0; index < kCases; ++index) {
        const Case made = cases.make(index);
        ASSERT_LE(made.pages(), kLargePages) << seed_of(made);
        ASSERT_EQ(made.list_frames.size(),
                  kimage::list_pages_for(made.entries.size(), generation_.word()))
            << seed_of(made);
        std::set<Gpa> lists(made.list_frames.begin(), made.list_frames.end());
        ASSERT_EQ(lists.size(), made.list_frames.size()) << seed_of(made);
        std::set<Gpa> frames;
        for (const kimage::Move& move : moves_of(made.entries)) {
            ASSERT_FALSE(lists.contains(move.destination) || lists.contains(move.source))
                << seed_of(made) << ": a list page is moved";
            ASSERT_NE(move.destination, Gpa{kSwap});
            ASSERT_NE(move.source, Gpa{kSwap});
            if (made.origin == ListOrigin::kChained) {
                continue;
            }
            ASSERT_TRUE(frames.insert(move.destination).second) << seed_of(made);
            ASSERT_TRUE(move.source == move.destination || frames.insert(move.source).second)
                << seed_of(made) << ": a source is another move's page";
        }
        for (const PageChange& change : made.callee.changes) {
            ASSERT_LE(change.at.raw % kPageSize + change.length.raw, kPageSize) << seed_of(made);
            ASSERT_FALSE(lists.contains(gpa_of(pfn_of(change.at)))) << seed_of(made);
        }
    }
}

TEST_P(GeneratorTest, EverythingThatMattersOccurs) {
    const CaseGenerator cases = generator();
    std::map<std::string, std::uint64_t> seen;
    const auto count = [&](const std::string& what, bool holds) { seen[what] += holds ? 1 : 0; };
    const std::uint64_t top = 3 * kGiB - kPageSize;
    for (std::uint64_t index = 0; index < kCases; ++index) {
        const Case made = cases.make(index);
        const auto moves = moves_of(made.entries);
        count("no list", made.entries.empty());
        count("one page", moves.size() == 1);
        count("two to sixteen pages", moves.size() >= 2 && moves.size() <= kSmallPages);
        count("more than sixteen pages", moves.size() > kSmallPages);
        count("two list pages", made.list_frames.size() == 2);
        count("three list pages or more", made.list_frames.size() >= 3);
        count("DONE is a list page's last word",
              !made.entries.empty() && made.entries.size() % fit() == 0);
        count("DONE is a list page's first word", made.entries.size() % fit() == 1);
        count("a move's words on two list pages",
              std::any_of(moves.begin(), moves.end(), [&](auto&) {
                  const std::uint64_t border = fit();
                  return made.entries.size() > border && made.entries[border].is_source();
              }));
        count("chained", made.origin == ListOrigin::kChained);
        count("as kimage builds it", made.origin == ListOrigin::kKimage);
        count("any", made.origin == ListOrigin::kRaw);
        count("jump", made.preserve);
        count("plain kexec", !made.preserve);
        count("caches to be flushed", made.host_memory_encryption);
        count("CPU without PAE", !made.cpu_has_pae);
        count("layout " + std::to_string(made.board), true);
        count(std::string(name_of(made.callee.kind)), true);
        count("callee changes memory", !made.callee.changes.empty());
        count("entry within a page", made.start % kPageSize != 0);
        bool own = false;
        bool reverse = false;
        bool edge = false;
        bool high = false;
        for (const kimage::Move& move : moves) {
            own |= move.source == move.destination;
            reverse |= move.source < move.destination;
            for (const Gpa page : {move.source, move.destination}) {
                edge |= page == Gpa{kPageSize} || page == Gpa{top};
                high |= page.raw >= 4 * kGiB;
            }
        }
        count("source equal to destination", own);
        count("source below its destination", reverse);
        count("page at an edge of RAM", edge);
        count("page above 4 GiB", high || generation_.isa == relocate::Isa::kI386);
    }
    for (unsigned layout = 0; layout < unicorn::kBoards; ++layout) {
        EXPECT_GT(seen["layout " + std::to_string(layout)], kCases / 6);
    }
    for (const auto& [what, times] : seen) {
        EXPECT_GT(times, 0U) << what << " never occurs in " << kCases << " cases of seed "
                             << test_seed();
    }
}

TEST_P(GeneratorTest, ACaseDependsOnSeedAndNumberAlone) {
    const CaseGenerator cases = generator();
    for (const std::uint64_t index : {0U, 17U, 4711U}) {
        const Case first = cases.make(index);
        EXPECT_NE(cases.make(index + 1).salt, first.salt);
        const Case again = cases.make(index);
        EXPECT_EQ(first.entries, again.entries);
        EXPECT_EQ(first.list_frames, again.list_frames);
        EXPECT_EQ(first.start, again.start);
        EXPECT_EQ(first.salt, again.salt);
        EXPECT_EQ(first.callee.cpu, again.callee.cpu);
        EXPECT_NE(first.salt, generator(kLargePages, test_seed() + 1).make(index).salt);
    }
}

TEST_P(GeneratorTest, NoListMovesMoreThanAsked) {
    for (const std::uint64_t most : {0U, 1U, 5U, 40U}) {
        const CaseGenerator cases = generator(most);
        for (std::uint64_t index = 0; index < 3000; ++index) {
            ASSERT_LE(cases.make(index).pages(), most) << index;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Generations, GeneratorTest,
                         testing::Values(Kind{"6.1.192", relocate::Isa::kX86_64},
                                         Kind{"6.1.192", relocate::Isa::kI386},
                                         Kind{"7.2.13", relocate::Isa::kX86_64}),
                         [](const auto& one) {
                             return std::string(one.param.release, 0, 1) +
                                    (one.param.isa == relocate::Isa::kI386 ? "_i386" : "_x86_64");
                         });

}  // namespace
}  // namespace jumpback::relocate_check
