// SPDX-License-Identifier: GPL-2.0-or-later
//
// Mutants: what they change, that they are caught, and that survivors are told from holes.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "vm/relocate/mutation_run.h"
#include "vm/relocate/survivors.h"
#include "vm/relocate/tests/kernel.h"

namespace jumpback::relocate_check {
namespace {

using MutantsTest = test::OnKernel;

TEST_P(MutantsTest, EachChangesTheBytesOfOneInstruction) {
    const auto code = disassemble(*target_);
    ASSERT_TRUE(code.ok());
    std::set<MutationKind> kinds;
    for (std::uint64_t index = 0; index < 500; ++index) {
        const Mutant mutant = make_mutant(*target_, *code, test::seed(), index);
        ASSERT_EQ(mutant.before.size(), mutant.after.size()) << index;
        ASSERT_NE(mutant.before, mutant.after) << index;
        const auto changed = mutated(*target_, mutant);
        for (std::size_t at = 0; at < changed->code.blob.size(); ++at) {
            const bool inside = at >= mutant.offset && at < mutant.offset + mutant.before.size();
            ASSERT_TRUE(inside || changed->code.blob[at] == target_->code.blob[at]) << index;
        }
        kinds.insert(mutant.kind);
    }
    EXPECT_EQ(kinds.size(), kMutationKinds) << "seed " << test::seed();
}

TEST_P(MutantsTest, TheInstructionsFollowEachOther) {
    const auto code = disassemble(*target_);
    ASSERT_TRUE(code.ok());
    std::uint64_t end = 0;
    for (const Instruction& instruction : *code) {
        EXPECT_GE(instruction.offset, end);
        EXPECT_GT(instruction.size, 0U);
        EXPECT_FALSE(instruction.mnemonic.empty());
        end = instruction.offset + instruction.size;
    }
    EXPECT_LE(end, target_->code_bytes);
    for (const char* label : {"identity_mapped", "virtual_mapped", "swap_pages"}) {
        const auto at = target_->offset_of(label);
        ASSERT_TRUE(at.has_value()) << label;
        EXPECT_TRUE(std::any_of(code->begin(), code->end(), [&](const Instruction& instruction) {
            return instruction.offset == *at;
        })) << label;
    }
}

TEST_P(MutantsTest, MostAreCaughtAndAllAreToldAbout) {
    const auto plan = plan_mutants(target_, test::seed());
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    EXPECT_GE(plan->cases.size(), 16U);
    EXPECT_GT(plan->instructions_executed() * 10, plan->code.size() * 9);
    const auto results = run_mutants(*plan, 0, 25);
    ASSERT_TRUE(results.ok()) << results.error().message();
    const auto dead = std::count_if(results->begin(), results->end(),
                                    [](const auto& one) { return caught(one.fate); });
    EXPECT_GE(dead, 15) << "seed " << test::seed();
    for (const MutantResult& result : *results) {
        EXPECT_FALSE(result.why.empty());
        EXPECT_NE(result.place.find_first_of("abcdefghijklmnopqrstuvwxyz"), std::string::npos);
    }
}

TEST_P(MutantsTest, WhatChangesNothingIsSaidToChangeNothing) {
    const auto plan = plan_mutants(target_, test::seed());
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    // A move to a register by another encoding of the same instruction.
    for (const Instruction& instruction : plan->code) {
        if (!plan->executed[instruction.offset] || instruction.mnemonic != "mov" ||
            instruction.modrm == 0) {
            continue;
        }
        MutantResult result;
        result.mutant.offset = instruction.offset;
        const auto first =
            target_->code.blob.begin() + static_cast<std::ptrdiff_t>(instruction.offset);
        result.mutant.before.assign(first, first + static_cast<std::ptrdiff_t>(instruction.size));
        result.mutant.after = result.mutant.before;
        result.mutant.was = instruction.text();
        result.mutant.is = instruction.text();
        explain_survivor(*plan, result);
        EXPECT_EQ(result.fate, Fate::kSameCode) << result.why;
        return;
    }
    FAIL() << "no mov is executed";
}

INSTANTIATE_TEST_SUITE_P(Kernels, MutantsTest,
                         testing::Values("6.1-x86_64", "6.1-i386", "7.2-x86_64"),
                         test::name_of_kernel);

}  // namespace
}  // namespace jumpback::relocate_check
