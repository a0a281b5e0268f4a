// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/frame.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace jumpback::relocate {
namespace {

constexpr std::uint64_t kPages = 16;
constexpr std::uint64_t kControl = 4 * kPageSize;
constexpr std::uint64_t kSwap = 5 * kPageSize;
constexpr std::uint64_t kTable = 6 * kPageSize;
constexpr std::uint64_t kStack = 7 * kPageSize;

class FrameTest : public testing::Test {
  protected:
    FrameTest() : expected_(kPages * kPageSize), found_(kPages * kPageSize) {}

    static const Generation& row(std::string_view release, Isa isa = Isa::kX86_64) {
        return *find_generation(release, isa).value().generation;
    }
    static Places places(const Generation& generation) {
        Places out;
        out.control_page = Gpa{kControl};
        out.swap_page = Gpa{kSwap};
        out.table_pages = {Gpa{kTable}};
        out.caller_stack_page = Gpa{kStack};
        out.caller_stack_used = 0xf00;
        if (generation.saved_words == SavedWords::kAt0x800) {
            out.code_size = Bytes{2048};
            out.saved_words = {{2048, 0x38}};
        } else {
            out.code_size = Bytes{0x600};
            out.saved_words = {{0x400, 0x20}, {0x438, 8}};
            out.debug_gdt = {0x460, 0x20};
        }
        return out;
    }
    // Whether a change of these bits of one byte is allowed.
    bool allows(const Generation& generation, const Passage& run, std::uint64_t at,
                std::uint8_t bits = 0xff) {
        found_[at] ^= std::byte{bits};
        const FrameComparison out = compare(allowances(generation, places(generation), run));
        found_[at] ^= std::byte{bits};
        EXPECT_EQ(out.different + out.excused.size(), 1U);
        EXPECT_EQ(out.different, out.differences.size());
        return out.different == 0;
    }
    FrameComparison compare(const std::vector<Allowance>& allowed, std::size_t limit = 8) {
        return compare_frame(memory::GuestRam::create(expected_, {}).value(),
                             memory::GuestRam::create(found_, {}).value(), allowed, limit)
            .value();
    }

    std::vector<std::byte> expected_, found_;
};

constexpr Passage kThere{Leg::kThere, true, true};
constexpr Passage kBack{Leg::kBack, true, true};
constexpr Passage kPlain{Leg::kThere, false, true};

TEST_F(FrameTest, OldConvention) {
    const Generation& old = row("6.1");
    EXPECT_FALSE(allows(old, kThere, kControl));
    EXPECT_FALSE(allows(old, kThere, kControl + 2047));  // code
    EXPECT_TRUE(allows(old, kThere, kControl + 2048));   // saved words
    EXPECT_TRUE(allows(old, kThere, kControl + 0x837));
    EXPECT_FALSE(allows(old, kBack, kControl + 2048));  // not saved again
    EXPECT_TRUE(allows(old, kBack, kControl + 4095));   // stack
    EXPECT_TRUE(allows(old, kThere, kSwap));
    EXPECT_TRUE(allows(old, kPlain, kSwap + 4095));  // plain kexec swaps, too
    EXPECT_TRUE(allows(old, kThere, kStack));
    EXPECT_TRUE(allows(old, kThere, kStack + 0xeff));
    EXPECT_FALSE(allows(old, kThere, kStack + 0xf00));  // the caller's own
    EXPECT_FALSE(allows(old, kBack, kStack + 0xeff));
    EXPECT_FALSE(allows(old, kThere, 0));
    EXPECT_FALSE(allows(old, kThere, kPages * kPageSize - 1));
}

TEST_F(FrameTest, NewConvention) {
    const Generation& late = row("7.2");
    EXPECT_TRUE(allows(late, kThere, kControl + 0x400));
    EXPECT_TRUE(allows(late, kThere, kControl + 0x41f));
    EXPECT_FALSE(allows(late, kThere, kControl + 0x420));  // kexec_va_control_page and others
    EXPECT_TRUE(allows(late, kThere, kControl + 0x438));
    EXPECT_FALSE(allows(late, kThere, kControl + 0x5ff));
    EXPECT_TRUE(allows(late, kThere, kControl + 0x600));
    EXPECT_TRUE(allows(late, kThere, kControl + 0x475, 1));  // descriptor's type, accessed
    EXPECT_FALSE(allows(late, kThere, kControl + 0x475, 2));
    EXPECT_FALSE(allows(late, kThere, kControl + 0x474, 1));
    EXPECT_FALSE(allows(late, kPlain, kSwap));  // a plain kexec copies
    EXPECT_FALSE(allows(late, kPlain, kSwap + 4095));
    EXPECT_TRUE(allows(late, kThere, kSwap));
}

TEST_F(FrameTest, WithoutPagesTheSwapPageIsAStackOnly) {
    const Passage empty{Leg::kThere, true, false};
    EXPECT_TRUE(allows(row("7.2"), empty, kSwap + 4080));
    EXPECT_FALSE(allows(row("7.2"), empty, kSwap + 4079));
    EXPECT_TRUE(allows(row("6.1"), empty, kSwap + 4088));
    EXPECT_FALSE(allows(row("6.1"), empty, kSwap + 4087));
    EXPECT_TRUE(allows(row("6.1", Isa::kI386), empty, kSwap + 4092));
    EXPECT_FALSE(allows(row("6.1", Isa::kI386), empty, kSwap + 4091));
    EXPECT_FALSE(allows(row("6.1"), {Leg::kThere, false, false}, kSwap + 4095));
}

TEST_F(FrameTest, TablesMayGetAccessedAndDirtyBits) {
    EXPECT_TRUE(allows(row("7.2"), kThere, kTable + 8, 0x60));
    EXPECT_FALSE(allows(row("7.2"), kThere, kTable + 8, 0x10));
    EXPECT_FALSE(allows(row("7.2"), kThere, kTable + 12, 0x20));  // upper half of an entry
    EXPECT_TRUE(allows(row("6.1", Isa::kI386), kThere, kTable + 12, 0x20));
    EXPECT_FALSE(allows(row("6.1", Isa::kI386), kThere, kTable + 13, 0x20));
}

TEST_F(FrameTest, NamesTheFirstByteThatNothingAllows) {
    const auto allowed = allowances(row("6.1"), places(row("6.1")), kThere);
    for (const std::uint64_t at : {kControl + 2050, kControl + 2040, kControl + 2044, kTable}) {
        found_[at] = std::byte{0x20};
    }
    found_[9 * kPageSize + 5] = std::byte{1};
    const FrameComparison out = compare(allowed);
    EXPECT_EQ(out.different, 2U);
    ASSERT_EQ(out.differences.size(), 2U);
    EXPECT_EQ(out.differences[0].pfn, pfn_of(Gpa{kControl}));
    EXPECT_EQ(out.differences[0].offset, 2040U);
    EXPECT_EQ(out.differences[0].differing, 2U);
    EXPECT_EQ(out.differences[0].found.at(0), std::byte{0x20});
    EXPECT_EQ(out.differences[1].pfn, Pfn{9});
    EXPECT_EQ(out.excused, std::vector<Gpa>{Gpa{kTable}});
    EXPECT_TRUE(out.used[static_cast<unsigned>(Rule::kTableBits)]);
    EXPECT_TRUE(out.used[static_cast<unsigned>(Rule::kSavedWords)]);
    EXPECT_FALSE(out.used[static_cast<unsigned>(Rule::kSwapPage)]);  // not needed, and said so
    EXPECT_EQ(compare(allowed, 1).differences.size(), 1U);
    EXPECT_EQ(compare(allowed, 1).different, 2U);
}

TEST_F(FrameTest, EveryPageIsLookedAt) {
    const auto allowed = allowances(row("7.2"), places(row("7.2")), kPlain);
    for (std::uint64_t page = 0; page < kPages; ++page) {
        const std::uint64_t at = page * kPageSize + 0x700;
        found_[at] = std::byte{0x81};
        const FrameComparison out = compare(allowed);
        const bool own = page == pfn_of(Gpa{kControl}).raw || page == pfn_of(Gpa{kStack}).raw;
        EXPECT_EQ(out.different, own ? 0U : 1U) << page;
        found_[at] = std::byte{0};
    }
}

TEST_F(FrameTest, EveryRuleHasAReason) {
    for (unsigned rule = 0; rule < kRules; ++rule) {
        EXPECT_NE(name_of(static_cast<Rule>(rule)), "?");
        EXPECT_NE(reason_of(static_cast<Rule>(rule)), "?");
    }
}

TEST_F(FrameTest, BadInputIsRefused) {
    const memory::GuestRam left = memory::GuestRam::create(expected_, {}).value();
    const std::vector<std::byte> less(kPageSize);
    EXPECT_FALSE(compare_frame(left, memory::GuestRam::create(less, {}).value(), {}, 1).ok());
    const std::vector<Allowance> crossing{{Rule::kSwapPage, Gpa{kSwap + 8}, Bytes{kPageSize}}};
    EXPECT_FALSE(compare_frame(left, left, crossing, 1).ok());
}

}  // namespace
}  // namespace jumpback::relocate
