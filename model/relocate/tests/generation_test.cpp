// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/generation.h"

#include <gtest/gtest.h>

#include <set>

#include "model/relocate/cpu_bits.h"

namespace jumpback::relocate {
namespace {

const Generation& row(std::string_view release, Isa isa = Isa::kX86_64) {
    return *find_generation(release, isa).value().generation;
}

TEST(Generation, ReleaseStringsAreRead) {
    EXPECT_EQ(parse_version("6.1.192-jumpback").value(), (Version{6, 1}));
    EXPECT_EQ(parse_version("7.3").value(), (Version{7, 3}));
    EXPECT_EQ(parse_version("6.12-rc3").value(), (Version{6, 12}));
    for (const char* bad : {"", "6", "6.", "v6.1", ".1", "linux"}) {
        EXPECT_FALSE(parse_version(bad).ok()) << bad;
    }
    EXPECT_NE(parse_version("v6.1").error().message().find("v6.1"), std::string::npos);
}

// Read from the sources of each version; the reason for each stands in changes().
TEST(Generation, RowsSayWhatTheSourcesDo) {
    EXPECT_TRUE(row("5.10.262").plain_swaps);
    EXPECT_FALSE(row("5.10.262").cet_cleared);
    EXPECT_TRUE(row("6.1.192").cet_cleared);
    EXPECT_EQ(row("6.1.192").control_pages, 2U);
    EXPECT_FALSE(row("6.1.192").gdt_reloaded);
    EXPECT_EQ(row("6.12.107").control_pages, 1U);
    EXPECT_TRUE(row("6.12.107").gdt_reloaded);
    EXPECT_FALSE(row("6.12.107").reentry_slot);
    EXPECT_EQ(row("6.12.107").abi, Abi::kPageList);
    for (const char* late : {"6.18.1", "7.2.13", "7.3.4"}) {
        EXPECT_EQ(row(late).abi, Abi::kFlags) << late;
        EXPECT_FALSE(row(late).plain_swaps) << late;
        EXPECT_TRUE(row(late).reentry_slot) << late;
        EXPECT_EQ(row(late).callee_stack_words(), 2U) << late;
        EXPECT_TRUE(row(late).debug_tables) << late;
        EXPECT_EQ(row(late).saved_words, SavedWords::kDataSection) << late;
    }
    for (const char* any : {"5.10", "6.1", "6.12", "7.2", "7.3"}) {
        const Generation& i386 = row(any, Isa::kI386);
        EXPECT_EQ(i386.abi, Abi::kI386);
        EXPECT_TRUE(i386.paging_off() && i386.plain_swaps && !i386.gdt_reloaded);
        EXPECT_EQ(i386.word(), kimage::Word::k32);
    }
}

// Every difference between neighbouring rows has its entry in changes(), and every entry is needed.
TEST(Generation, ChangesExplainEveryDifference) {
    std::set<const Change*> used;
    const auto rows = generations();
    for (std::size_t at = 1; at < rows.size(); ++at) {
        const Generation& before = rows[at - 1];
        const Generation& after = rows[at];
        if (before.isa != after.isa) {
            continue;
        }
        EXPECT_LT(before.version, after.version);
        for (unsigned number = 0; number < kFacts; ++number) {
            const Fact fact = static_cast<Fact>(number);
            const bool differs = value_text(before, fact) != value_text(after, fact);
            bool explained = false;
            for (const Change& change : changes()) {
                if (change.fact == fact && change.isa == after.isa &&
                    change.since > before.version && change.since <= after.version) {
                    explained = true;
                    used.insert(&change);
                }
            }
            EXPECT_EQ(differs, explained)
                << to_string(fact) << " from " << to_string(before.version) << " to "
                << to_string(after.version) << " (" << to_string(after.isa) << ")";
        }
    }
    EXPECT_EQ(used.size(), changes().size());
}

TEST(Generation, UnknownReleasesGetANeighbourAndANote) {
    const FoundGeneration exact = find_generation("6.1.192", Isa::kX86_64).value();
    EXPECT_EQ(exact.note, "");

    const FoundGeneration between = find_generation("6.6.80", Isa::kX86_64).value();
    EXPECT_EQ(between.generation->version, (Version{6, 1}));
    EXPECT_NE(between.note.find("6.6"), std::string::npos);
    EXPECT_NE(between.note.find("6.1"), std::string::npos);

    const FoundGeneration newer = find_generation("9.0.0", Isa::kI386).value();
    EXPECT_EQ(newer.generation->version, (Version{7, 3}));
    EXPECT_NE(newer.note.find("older"), std::string::npos);

    const FoundGeneration older = find_generation("4.19.300", Isa::kX86_64).value();
    EXPECT_EQ(older.generation->version, (Version{5, 10}));
    EXPECT_NE(older.note.find("newer"), std::string::npos);

    // What the code shows goes before what the release says.
    const FoundGeneration rework = find_generation("6.16.1", Isa::kX86_64, Abi::kFlags).value();
    EXPECT_EQ(rework.generation->version, (Version{6, 18}));
    EXPECT_FALSE(rework.note.empty());
    const FoundGeneration backport = find_generation("6.1.500", Isa::kX86_64, Abi::kFlags).value();
    EXPECT_EQ(backport.generation->abi, Abi::kFlags);

    EXPECT_FALSE(find_generation("6.1", Isa::kI386, Abi::kFlags).ok());
    EXPECT_FALSE(find_generation("next-20261121", Isa::kX86_64).ok());
}

TEST(Generation, ControlRegistersAtTheEntry) {
    constexpr std::uint64_t kCr0Ne = 1U << 5;
    constexpr std::uint64_t kCr4Pge = 1U << 7;
    const std::uint64_t cr0 = kCr0Pg | kCr0Pe | kCr0Wp | kCr0Am | kCr0Ts | kCr0Em | kCr0Ne;
    EXPECT_EQ(row("6.1").callee_cr0(cr0), kCr0Pg | kCr0Pe | kCr0Ne);
    EXPECT_EQ(row("6.1", Isa::kI386).callee_cr0(cr0), kCr0Pe | kCr0Ne);
    EXPECT_EQ(row("7.2").callee_cr4(kCr4Pae | kCr4Pge, true), kCr4Pae);
    EXPECT_EQ(row("7.2").callee_cr4(kCr4Pae | kCr4La57, true), kCr4Pae | kCr4La57);
    EXPECT_EQ(row("7.2", Isa::kI386).callee_cr4(kCr4Pge, true), 0U);
    EXPECT_EQ(row("7.2", Isa::kI386).callee_cr4(kCr4Pge, false), kCr4Pge);
}

}  // namespace
}  // namespace jumpback::relocate
