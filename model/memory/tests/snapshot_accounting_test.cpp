// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/snapshot_accounting.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "model/memory/tests/guest_builder.h"

namespace jumpback::memory {
namespace {

using test::BuilderOptions;
using test::GuestBuilder;
using test::Machine;
using test::SnapshotGuest;
using test::TypeEncoding;

struct Kind {
    BuilderOptions options;
    bool zero_pages;
};

class AccountingTest : public testing::TestWithParam<Kind> {
  protected:
    AccountingTest()
        : snapshot_(GetParam().options, GetParam().zero_pages), guest_(snapshot_.guest) {}

    [[nodiscard]] Result<SnapshotAccounting> account(const CompareOptions& options = {}) const {
        const GuestRam view = guest_.view();
        const auto kernel = guest_.open(view);
        if (!kernel) {
            return kernel.error();
        }
        return account_snapshot(**kernel, options);
    }
    // The accounting runs through and names this frame with these words.
    void expect_oddity(std::uint64_t pfn, const std::string& part) const {
        const auto out = account();
        ASSERT_TRUE(out.ok()) << out.error().message();
        for (const Oddity& oddity : out->oddities.listed()) {
            if (oddity.pfn == Pfn{pfn} && oddity.text.find(part) != std::string::npos) {
                return;
            }
        }
        ADD_FAILURE() << "no oddity \"" << part << "\" of frame " << pfn << " among "
                      << out->oddities.total();
    }
    SnapshotGuest snapshot_;
    GuestBuilder& guest_;
};

constexpr std::uint64_t kData = 1025;  // saveable, odd: not zero

TEST_P(AccountingTest, SoundSnapshot) {
    const auto out = account();
    ASSERT_TRUE(out.ok()) << out.error().message();
    for (const Oddity& oddity : out->oddities.listed()) {
        ADD_FAILURE() << (oddity.pfn ? oddity.pfn->raw : 0) << ": " << oddity.text;
    }
    EXPECT_EQ(out->expected, snapshot_.saveable);
    EXPECT_EQ(out->recorded, snapshot_.saveable);
    EXPECT_EQ(out->zero, snapshot_.zero_pfns);
    EXPECT_EQ(out->nr_copy_pages, snapshot_.saveable.size() - snapshot_.zero_pfns.size());
    EXPECT_EQ(out->copies.size(), out->nr_copy_pages);
    EXPECT_EQ(out->spare_copy_pages, snapshot_.copy_pfns.size() - out->copies.size());
    EXPECT_EQ(out->copy_contents.equal, out->nr_copy_pages);
    EXPECT_EQ(out->counts[static_cast<std::size_t>(FrameState::kFree)], 40U);
    EXPECT_EQ(out->counts[static_cast<std::size_t>(FrameState::kNosave)], 96U + 2U);
    EXPECT_EQ(out->counts[static_cast<std::size_t>(FrameState::kZero)], snapshot_.zero_pfns.size());
    EXPECT_EQ(out->states.at(0), static_cast<std::uint8_t>(FrameState::kHole));
    EXPECT_EQ(out->states.at(200), static_cast<std::uint8_t>(FrameState::kNosave));
    EXPECT_EQ(out->states.at(1044), static_cast<std::uint8_t>(FrameState::kNosave));
    EXPECT_EQ(out->states.at(kData), static_cast<std::uint8_t>(FrameState::kSaved));
}

TEST_P(AccountingTest, SaveablePageLeftOut) {
    snapshot_.bit(snapshot_.orig_bm, kData, false);
    expect_oddity(kData, "had to be saved");
    const auto out = account();
    ASSERT_TRUE(out.ok());
    EXPECT_EQ(check_coverage(out->expected, out->recorded).missing,
              std::vector<std::uint64_t>{kData});
    EXPECT_GE(out->oddities.total(), 2U);  // and nr_copy_pages does not fit
}

TEST_P(AccountingTest, FreePageTaken) {
    snapshot_.bit(snapshot_.orig_bm, 2020, true);
    const auto out = account();
    ASSERT_TRUE(out.ok());
    EXPECT_EQ(check_coverage(out->expected, out->recorded).surplus,
              std::vector<std::uint64_t>{2020});
    expect_oddity(2020, "need not");
}

TEST_P(AccountingTest, PageHiddenInBothMaps) {
    // Marked as the snapshot's own although nothing of it lives there, and left out of the image.
    // Two frames: one alone would pass for the buffer page on a machine with highmem.
    for (const std::uint64_t pfn : {kData, kData + 2}) {
        snapshot_.bit(snapshot_.forbidden_bm, pfn, true);
        snapshot_.bit(snapshot_.free_bm, pfn, true);
        snapshot_.bit(snapshot_.orig_bm, pfn, false);
    }
    expect_oddity(kData, "had to be saved");
    expect_oddity(kData, "neither the snapshot's own nor nosave");
    expect_oddity(kData + 2, "on no free list");
}

TEST_P(AccountingTest, PageMarkedFreeAndUsed) {
    snapshot_.bit(snapshot_.free_bm, kData, true);
    expect_oddity(kData, "on no free list");
}

TEST_P(AccountingTest, FreePageNotMarked) {
    snapshot_.bit(snapshot_.free_bm, 2020, false);
    expect_oddity(2020, "not in free_pages_map");
}

TEST_P(AccountingTest, NosaveFrameNotMarked) {
    snapshot_.bit(snapshot_.forbidden_bm, 170, false);
    expect_oddity(170, "not in forbidden_pages_map");
}

TEST_P(AccountingTest, CopyRecordedAsOriginal) {
    snapshot_.bit(snapshot_.orig_bm, snapshot_.copy_pfns.back(), true);
    expect_oddity(snapshot_.copy_pfns.back(), "a copy would be saved as an original");
}

TEST_P(AccountingTest, CopyThatDiffers) {
    guest_.ram[kData * kPageSize + 99] ^= std::byte{4};
    const auto out = account();
    ASSERT_TRUE(out.ok());
    EXPECT_EQ(out->copy_contents.different, 1U);
    EXPECT_EQ(out->copy_contents.differences.at(0).pfn, Pfn{kData});
    EXPECT_EQ(out->copy_contents.differences.at(0).offset, 99U);
    const std::vector<ExceptionRange> rules{{Gpa{kData * kPageSize + 99}, Bytes{1}, 5}};
    EXPECT_EQ(account({rules, 64})->copy_contents.excused, 1U);
}

TEST_P(AccountingTest, WrongCount) {
    guest_.put_u32(snapshot_.nr_copy_pages, 7);
    const auto out = account();
    ASSERT_TRUE(out.ok());
    ASSERT_EQ(out->oddities.total(), 1U);
    EXPECT_NE(out->oddities.listed()[0].text.find("nr_copy_pages is 7"), std::string::npos);
}

TEST_P(AccountingTest, TooFewCopies) {
    for (const std::uint64_t pfn : snapshot_.copy_pfns) {
        snapshot_.bit(snapshot_.copy_bm, pfn, false);
    }
    const auto out = account();
    ASSERT_FALSE(out.ok());
    EXPECT_NE(out.error().message().find("copy_bm"), std::string::npos);
}

TEST_P(AccountingTest, ZeroPageThatIsNot) {
    if (snapshot_.zero_pfns.empty()) {
        GTEST_SKIP() << "a kernel without zero_bm";
    }
    guest_.ram[snapshot_.zero_pfns[0] * kPageSize + 4095] = std::byte{1};
    expect_oddity(snapshot_.zero_pfns[0], "not full of zeros");
}

TEST_P(AccountingTest, NoSnapshotUnderWay) {
    guest_.put_word(guest_.phys(guest_.symbols["forbidden_pages_map"]), 0);
    const auto out = account();
    ASSERT_FALSE(out.ok());
    EXPECT_NE(out.error().message().find("no snapshot is being taken"), std::string::npos);
}

TEST_P(AccountingTest, NosaveListThatLies) {
    const std::uint64_t head = guest_.phys(guest_.symbols["nosave_regions"]);
    const std::uint64_t first = guest_.phys(guest_.get_word(head));
    guest_.put_word(first, guest_.virt(first));
    EXPECT_FALSE(account().ok());
    guest_.put_word(first, 3);
    EXPECT_FALSE(account().ok());
}

// A region over memory that was in use: its pages are lost on resume, and no bitmap shows it.
TEST_P(AccountingTest, NosaveRegionOverUsedMemory) {
    guest_.set_flag(200, GuestBuilder::kReserved, false);
    expect_oddity(200, "in a nosave region, but not PG_reserved");
}

// The bitmaps name a page as the snapshot's own that somebody else has: it would be hidden.
TEST_P(AccountingTest, OwnPageThatIsAnothers) {
    const auto out = account();
    ASSERT_TRUE(out.ok());
    ASSERT_FALSE(out->copies.empty());
    guest_.set_refcount(out->copies.front(), 2);
    expect_oddity(out->copies.front(), "its page structure is another's");
}

// PG_reserved frames: saved if mapped (lowmem), not saved in highmem or where the direct mapping
// has a hole.
TEST_P(AccountingTest, ReservedFrames) {
    guest_.set_flag(kData, GuestBuilder::kReserved);
    const bool high = GetParam().options.high_zone;
    const auto out = account();
    ASSERT_TRUE(out.ok());
    const bool saved = std::binary_search(out->expected.begin(), out->expected.end(), kData);
    EXPECT_EQ(saved, !high);
}

TEST(Accounting, ReservedAndNotMapped) {
    SnapshotGuest snapshot;
    snapshot.guest.set_flag(kData, GuestBuilder::kReserved);
    snapshot.guest.unmap_large(kData * kPageSize);
    const GuestRam view = snapshot.guest.view();
    const auto kernel = snapshot.guest.open(view);
    ASSERT_TRUE(kernel.ok());
    EXPECT_FALSE((*kernel)->present_in_direct_map(Pfn{kData}));
    const auto out = account_snapshot(**kernel, {});
    ASSERT_TRUE(out.ok()) << out.error().message();
    EXPECT_EQ(check_coverage(out->expected, out->recorded).surplus,
              std::vector<std::uint64_t>{kData});
}

TEST(Accounting, HighmemBufferPageIsTheSnapshotsOwn) {
    SnapshotGuest snapshot({Machine::kI386, TypeEncoding::kLowBits, false, true});
    snapshot.bit(snapshot.forbidden_bm, 700, true);
    snapshot.bit(snapshot.free_bm, 700, true);
    snapshot.bit(snapshot.orig_bm, 700, false);
    const GuestRam view = snapshot.guest.view();
    const auto kernel = snapshot.guest.open(view);
    ASSERT_TRUE(kernel.ok());
    const auto out = account_snapshot(**kernel, {});
    ASSERT_TRUE(out.ok());
    EXPECT_EQ(out->states.at(700), static_cast<std::uint8_t>(FrameState::kOwn));
}

TEST(Accounting, CoverageIsExact) {
    const std::vector<std::uint64_t> expected{1, 2, 3, 9};
    const std::vector<std::uint64_t> image{9, 2, 2, 4, 2};
    const Coverage coverage = check_coverage(expected, image);
    EXPECT_EQ(coverage.missing, (std::vector<std::uint64_t>{1, 3}));
    EXPECT_EQ(coverage.surplus, std::vector<std::uint64_t>{4});
    EXPECT_EQ(coverage.duplicates, std::vector<std::uint64_t>{2});
    EXPECT_TRUE(check_coverage(expected, expected).missing.empty());
}

std::string name_of_kind(const testing::TestParamInfo<Kind>& info) {
    constexpr std::array kNames{"x86_64", "x86_64_zero_pages", "x86_64_level5", "i386", "i386_pae"};
    return kNames.at(info.index);
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, AccountingTest,
    testing::Values(Kind{{Machine::kX86_64, TypeEncoding::kLowBits}, false},
                    Kind{{Machine::kX86_64, TypeEncoding::kTopByte}, true},
                    Kind{{Machine::kX86_64Level5, TypeEncoding::kHighBits, true}, true},
                    Kind{{Machine::kI386, TypeEncoding::kLowBits, false, true}, false},
                    Kind{{Machine::kI386Pae, TypeEncoding::kTopByte}, true}),
    name_of_kind);

}  // namespace
}  // namespace jumpback::memory
