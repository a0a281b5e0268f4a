// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/defects.h"

#include <gtest/gtest.h>

namespace jumpback::relocate {
namespace {

std::string_view id_of(std::string_view release, Isa isa, Sign sign) {
    const Defect* defect = known_defect(*find_generation(release, isa).value().generation, sign);
    return defect == nullptr ? "" : defect->id;
}

TEST(Defects, KnownByGeneration) {
    const Isa wide = Isa::kX86_64;
    EXPECT_EQ(id_of("5.10.262", wide, Sign::kGdtNotReloaded), "B7");
    EXPECT_EQ(id_of("6.1.192", wide, Sign::kGdtNotReloaded), "B7");
    EXPECT_EQ(id_of("6.12.107", wide, Sign::kGdtNotReloaded), "");
    EXPECT_EQ(id_of("7.2.13", wide, Sign::kGdtNotReloaded), "");
    EXPECT_EQ(id_of("6.12.107", wide, Sign::kNoReentrySlot), "B5");
    EXPECT_EQ(id_of("6.18.2", wide, Sign::kNoReentrySlot), "");
    for (const char* any : {"5.10", "6.1", "6.12", "7.2", "7.3"}) {
        EXPECT_EQ(id_of(any, Isa::kI386, Sign::kGdtNotReloaded), "D1") << any;
        EXPECT_EQ(id_of(any, Isa::kI386, Sign::kNoReentrySlot), "D3") << any;
        EXPECT_EQ(id_of(any, wide, Sign::kNoZeroWord), "") << any;
        EXPECT_EQ(id_of(any, wide, Sign::kNotSwappedBack), "") << any;
    }
}

// The table of defects and the table of generations must tell the same story.
TEST(Defects, AgreeWithTheGenerations) {
    for (const Generation& row : generations()) {
        EXPECT_EQ(row.gdt_reloaded, known_defect(row, Sign::kGdtNotReloaded) == nullptr)
            << to_string(row.isa) << " " << to_string(row.version);
        EXPECT_EQ(row.reentry_slot, known_defect(row, Sign::kNoReentrySlot) == nullptr)
            << to_string(row.isa) << " " << to_string(row.version);
    }
}

// A release between two rows is judged by a row, but has its own defects.
TEST(Defects, DependOnTheReleaseAndNotOnTheRow) {
    Generation between = *find_generation("6.16.3", Isa::kX86_64, Abi::kFlags).value().generation;
    EXPECT_EQ(between.version, (Version{6, 18}));
    EXPECT_EQ(known_defect(between, Sign::kNoZeroWord), nullptr);
    between.release = {6, 16};
    ASSERT_NE(known_defect(between, Sign::kNoZeroWord), nullptr);
    EXPECT_EQ(known_defect(between, Sign::kNoZeroWord)->id, "B6");
    for (const Version mended : {Version{6, 13}, Version{6, 18}, Version{7, 2}}) {
        between.release = mended;
        EXPECT_EQ(known_defect(between, Sign::kNoZeroWord), nullptr) << to_string(mended);
    }
}

TEST(Defects, MendedOnesAreStillRecognised) {
    const Generation& late = *find_generation("7.2", Isa::kX86_64).value().generation;
    for (const Sign sign : {Sign::kGdtNotReloaded, Sign::kNoReentrySlot, Sign::kNoZeroWord,
                            Sign::kNotSwappedBack, Sign::kWrongSwapPage}) {
        EXPECT_EQ(known_defect(late, sign), nullptr);
        const Defect* defect = resembled_defect(late, sign);
        ASSERT_NE(defect, nullptr);
        EXPECT_EQ(defect->isa, Isa::kX86_64);
        EXPECT_FALSE(defect->fix.empty()) << defect->id;
    }
}

}  // namespace
}  // namespace jumpback::relocate
