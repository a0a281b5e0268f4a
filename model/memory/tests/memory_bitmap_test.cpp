// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/memory_bitmap.h"

#include <gtest/gtest.h>

#include "model/memory/tests/guest_builder.h"

namespace jumpback::memory {
namespace {

using test::GuestBuilder;
using test::Machine;

// RAM as the guest has it, and one page far up, so that bitmaps of several blocks are plausible.
class MemoryBitmapTest : public testing::TestWithParam<Machine> {
  protected:
    MemoryBitmapTest() : guest_({GetParam()}) {
        guest_.finish();
        at_ = guest_.take(64);
        pfns_ = {5, 32'772, 32'773, 65'541, 90'000};
        own_ = guest_.bitmap(at_, 5, 90'001, pfns_);
        tree_ = guest_.phys(guest_.get_word(at_));
        first_leaf_ = guest_.phys(guest_.get_word(tree_ + 4 * guest_.word_size()));
    }
    [[nodiscard]] Result<MemoryBitmap> read() const {
        const std::uint64_t low = guest_.ram.size() - kPageSize;
        const GuestRam view =
            GuestRam::create(guest_.ram, {{Gpa{0}, Bytes{0}, Bytes{low}},
                                          {Gpa{0x4000'0000}, Bytes{low}, Bytes{kPageSize}}})
                .value();
        const KernelMemory memory(view, guest_.symbols, guest_.wide() ? Arch::kX86_64 : Arch::kI386,
                                  PageTables(view, guest_.mode(), guest_.cr3()));
        return read_memory_bitmap(memory, Gva{guest_.virt(at_)}, "test");
    }
    void expect_error(const std::string& part) const {
        const auto map = read();
        ASSERT_FALSE(map.ok()) << part;
        EXPECT_NE(map.error().message().find(part), std::string::npos) << map.error().message();
    }
    [[nodiscard]] std::uint64_t word() const { return guest_.word_size(); }

    GuestBuilder guest_;
    std::uint64_t at_ = 0, tree_ = 0, first_leaf_ = 0;
    std::vector<std::uint64_t> pfns_, own_;
};

TEST_P(MemoryBitmapTest, ReadsBitsExtentAndOwnPages) {
    const auto map = read();
    ASSERT_TRUE(map.ok()) << map.error().message();
    EXPECT_EQ(map->pfns, pfns_);
    ASSERT_EQ(map->extents.size(), 1U);
    EXPECT_EQ(map->extents[0].start, Pfn{5});
    EXPECT_TRUE(map->covers(Pfn{90'000}));
    EXPECT_FALSE(map->covers(Pfn{90'001}));
    std::vector<std::uint64_t> own = map->own_frames;
    std::vector<std::uint64_t> expected = own_;
    std::sort(own.begin(), own.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(own, expected);
}

TEST_P(MemoryBitmapTest, BitBehindTheEnd) {
    guest_.put_word(tree_ + 7 * word(), 90'000);
    expect_error("ends at 0x15f90");
}

TEST_P(MemoryBitmapTest, BackPointerThatDoesNotAgree) {
    guest_.put_word(first_leaf_ + word(), guest_.virt(tree_));
    expect_error("is before it");
}

TEST_P(MemoryBitmapTest, ListThatRunsInACircle) {
    // A consistent two-way circle that never comes back to its head.
    const std::uint64_t other = guest_.take(64);
    guest_.put_word(first_leaf_, guest_.virt(other));
    guest_.put_word(other, guest_.virt(first_leaf_));
    guest_.put_word(other + word(), guest_.virt(first_leaf_));
    EXPECT_FALSE(read().ok());
    guest_.put_word(at_, guest_.virt(at_));  // no zone at all: a bitmap that covers nothing
    guest_.put_word(at_ + word(), guest_.virt(at_));
    const auto empty = read();
    ASSERT_TRUE(empty.ok());
    EXPECT_TRUE(empty->extents.empty());
}

TEST_P(MemoryBitmapTest, PointersOutOfMemory) {
    const std::uint64_t data = guest_.get_word(first_leaf_ + 2 * word());
    guest_.put_word(first_leaf_ + 2 * word(), data + 8);
    expect_error("no page of RAM");
    guest_.put_word(first_leaf_ + 2 * word(), 0x1000);
    EXPECT_FALSE(read().ok());
    guest_.put_word(first_leaf_ + 2 * word(), data);
    EXPECT_TRUE(read().ok());
    guest_.put_word(at_, 0);
    EXPECT_FALSE(read().ok());
}

TEST_P(MemoryBitmapTest, TreeAndListDisagree) {
    const std::uint64_t root = guest_.phys(guest_.get_word(tree_ + 8 * word()));
    const std::uint64_t slots = guest_.phys(guest_.get_word(root + 2 * word()));
    guest_.put_word(slots, guest_.get_word(slots + word()));
    expect_error("in the tree");
}

TEST_P(MemoryBitmapTest, WrongNumbers) {
    guest_.put_u32(tree_ + 9 * word() + 4, 7);
    expect_error("7 blocks");
    guest_.put_u32(tree_ + 9 * word() + 4, 3);
    guest_.put_u32(tree_ + 9 * word(), 1000);
    expect_error("1000 levels");
    guest_.put_u32(tree_ + 9 * word(), 1);
    guest_.put_word(tree_ + 7 * word(), ~std::uint64_t{0});
    expect_error("covers frames");
}

TEST_P(MemoryBitmapTest, ChainThatRunsInACircle) {
    const std::uint64_t chain = guest_.phys(guest_.get_word(at_ + 2 * word()));
    guest_.put_word(chain, guest_.virt(chain));
    expect_error("circle");
}

INSTANTIATE_TEST_SUITE_P(Machines, MemoryBitmapTest,
                         testing::Values(Machine::kX86_64, Machine::kI386));

}  // namespace
}  // namespace jumpback::memory
