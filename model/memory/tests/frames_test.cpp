// SPDX-License-Identifier: GPL-2.0-or-later
//
// Frame table, zones, free lists and owners.
#include <gtest/gtest.h>

#include "model/memory/guest_kernel.h"
#include "model/memory/tests/guest_builder.h"

namespace jumpback::memory {
namespace {

using test::BuilderOptions;
using test::GuestBuilder;
using test::Machine;
using test::TypeEncoding;

const std::vector<BuilderOptions>& all_guests() {
    static const std::vector<BuilderOptions> guests{
        {Machine::kX86_64, TypeEncoding::kLowBits},
        {Machine::kX86_64, TypeEncoding::kHighBits, true},
        {Machine::kX86_64Level5, TypeEncoding::kTopByte},
        {Machine::kI386, TypeEncoding::kLowBits, false, true},
        {Machine::kI386Pae, TypeEncoding::kTopByte}};
    return guests;
}

TEST(Frames, OwnersInEveryEncoding) {
    for (const BuilderOptions& options : all_guests()) {
        GuestBuilder guest(options);
        guest.free_block(1536, 4);
        guest.set_type(1200, 1);
        guest.set_type(1201, 2);
        guest.set_type(1202, 3);
        if (options.types == TypeEncoding::kLowBits) {
            guest.set_flag(1203, GuestBuilder::kSlab);
        } else {
            guest.set_type(1203, 5);
        }
        guest.set_mapping(1204, 0xffff'0001);
        guest.set_mapping(1205, 0xffff'0000);
        guest.set_flag(1205, GuestBuilder::kLru);
        guest.set_mapping(1206, 0xffff'0000);
        guest.set_flag(1206, GuestBuilder::kLru);
        guest.set_flag(1206, GuestBuilder::kSwapBacked);
        guest.set_flag(1207, GuestBuilder::kReserved);
        guest.set_tail_of(1209, 1208);
        guest.set_type(1208, 2);
        guest.set_refcount(1210, 0);
        guest.set_tail_of(1220, 1300);  // a tail before its head: a lie
        guest.finish();
        const GuestRam view = guest.view();
        const auto kernel = guest.open(view);
        ASSERT_TRUE(kernel.ok()) << kernel.error().message();
        const FrameOwners owners = (*kernel)->owners();
        const auto owner = [&owners](std::uint64_t pfn) { return owners.describe(Pfn{pfn}); };
        EXPECT_EQ(owner(1536), "free (buddy, order 4)");
        EXPECT_EQ(owner(1551), "free (buddy, order 4)");  // the block's last frame has no type
        EXPECT_EQ(owner(1552), "kernel allocation");
        EXPECT_EQ(owner(1200), "offline");
        EXPECT_EQ(owner(1201), "page table");
        EXPECT_EQ(owner(1202), "guard page");
        EXPECT_EQ(owner(1203), "slab");
        EXPECT_EQ(owner(1204), "anonymous");
        EXPECT_EQ(owner(1205), "page cache");
        EXPECT_EQ(owner(1206), "page cache (tmpfs or shared memory)");
        EXPECT_EQ(owner(1207), "reserved");
        EXPECT_EQ(owner(1209), "compound tail of 0x4b8: page table");
        EXPECT_EQ(owner(1210), "not in use (per-CPU free list or tail of an allocation)");
        EXPECT_EQ(owner(1220), "compound tail");
        EXPECT_EQ(owner(1'000'000), "not in the kernel's memory map");
        std::uint64_t total = 0;
        for (const OwnerRun& run : owner_runs(owners, (*kernel)->end_pfn())) {
            EXPECT_EQ(run.start.raw, total);
            total += run.count;
        }
        EXPECT_EQ(total, GuestBuilder::kFrames);
    }
}

TEST(Frames, FrameOfIsTheInverse) {
    for (const BuilderOptions& options : all_guests()) {
        GuestBuilder guest(options);
        guest.finish();
        const GuestRam view = guest.view();
        const auto kernel = guest.open(view);
        ASSERT_TRUE(kernel.ok());
        const FrameTable& frames = (*kernel)->frames();
        for (const std::uint64_t pfn : {0U, 1U, 777U, 2047U}) {
            const Gva address{guest.virt(guest.page_struct(pfn))};
            EXPECT_EQ(frames.frame_of(address).value(), Pfn{pfn});
            EXPECT_FALSE(frames.frame_of(Gva{address.raw + 4}).ok());
        }
        EXPECT_FALSE(frames.frame_of(Gva{0}).ok());
        EXPECT_TRUE(frames.online(Pfn{5}));
    }
}

TEST(Frames, SubsectionsDecideWithMemoryHotplug) {
    for (const unsigned rcu_words : {0U, 2U}) {  // before and since 6.8
        GuestBuilder guest;
        const std::uint64_t usage = guest.take(64);
        guest.put_word(usage + std::uint64_t{rcu_words} * 8, 0b1011);
        guest.put_word(guest.section() + 8, guest.virt(usage));
        guest.symbols["pfn_to_online_page"] = guest.symbols["_stext"];
        guest.finish();
        const GuestRam view = guest.view();
        const auto kernel = guest.open(view);
        ASSERT_TRUE(kernel.ok());
        EXPECT_TRUE((*kernel)->frames().online(Pfn{600}));
        EXPECT_FALSE((*kernel)->frames().online(Pfn{1024}));
        EXPECT_TRUE((*kernel)->frames().valid(Pfn{1024}));
        EXPECT_TRUE((*kernel)->frames().online(Pfn{1536}));
    }
}

TEST(Frames, KernelTextMustBeReserved) {
    GuestBuilder guest;
    guest.set_flag(guest.phys(guest.symbols["_stext"]) >> kPageShift, GuestBuilder::kReserved,
                   false);
    guest.finish();
    const GuestRam view = guest.view();
    const auto kernel = guest.open(view);
    ASSERT_FALSE(kernel.ok());
    EXPECT_NE(kernel.error().message().find("PG_reserved"), std::string::npos);
}

TEST(Frames, LyingLayouts) {
    const std::vector<std::pair<std::string, std::string>> lies{
        {"SIZE(page)=64", "SIZE(page)=0"},
        {"SIZE(page)=64", "SIZE(page)=100000"},
        {"OFFSET(page.flags)=0", "OFFSET(page.flags)=60"},
        {"OFFSET(page.mapping)=24", "OFFSET(page.mapping)=18446744073709551615"},
        {"LENGTH(mem_section)=32", "LENGTH(mem_section)=33"},
        {"SIZE(mem_section)=16", "SIZE(mem_section)=1"},
        {"NUMBER(MAX_PHYSMEM_BITS)=40", "NUMBER(MAX_PHYSMEM_BITS)=99"},
        {"NUMBER(PG_private)=13", "NUMBER(PG_private)=0"},
        {"NUMBER(PG_private)=13", "NUMBER(PG_private)=64"},
        {"NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129", "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=5"},
        {"OFFSET(zone.spanned_pages)=96", "OFFSET(zone.spanned_pages)=8"},
        {"SIZE(zone)=1024", "SIZE(zone)=50"},
        {"SYMBOL(contig_page_data)", "SYMBOL(none)"}};
    for (const auto& [truth, lie] : lies) {
        GuestBuilder guest;
        const std::size_t at = guest.vmcoreinfo.find(truth);
        ASSERT_NE(at, std::string::npos) << truth;
        guest.vmcoreinfo.replace(at, truth.size(), lie);
        guest.finish();
        const GuestRam view = guest.view();
        EXPECT_FALSE(guest.open(view).ok()) << lie;
    }
}

class ZonesTest : public testing::Test {
  protected:
    ZonesTest() {
        guest_.free_block(1536, 4);
        guest_.free_block(1600, 4);
        guest_.free_block(1700, 0);
        guest_.finish();
    }
    Result<std::vector<std::uint8_t>> free() {
        const GuestRam view = guest_.view();
        const auto kernel = guest_.open(view);
        if (!kernel) {
            return kernel.error();
        }
        return free_frames((*kernel)->memory(), (*kernel)->info(), (*kernel)->frames(),
                           (*kernel)->types(), (*kernel)->zones(), (*kernel)->end_pfn(), oddities_);
    }
    [[nodiscard]] std::uint64_t node(std::uint64_t pfn) const {
        return guest_.page_struct(pfn) + guest_.lru_offset();
    }
    GuestBuilder guest_;
    Oddities oddities_;
};

TEST_F(ZonesTest, FreeFramesByTheLists) {
    const auto frames = free();
    ASSERT_TRUE(frames.ok()) << frames.error().message();
    std::uint64_t total = 0;
    for (const std::uint8_t flag : *frames) {
        total += flag;
    }
    EXPECT_EQ(total, 33U);
    EXPECT_EQ((*frames)[1551], 1);
    EXPECT_EQ((*frames)[1552], 0);
    EXPECT_EQ(oddities_.total(), 0U);
}

TEST_F(ZonesTest, StructPageThatContradictsTheList) {
    guest_.put_word(guest_.page_struct(1700) + 40, 1);  // private: order 1 on the list of order 0
    ASSERT_TRUE(free().ok());
    EXPECT_EQ(oddities_.total(), 1U);
    EXPECT_EQ(oddities_.listed().at(0).pfn, Pfn{1700});
}

TEST_F(ZonesTest, ListThatRunsInACircle) {
    guest_.put_word(node(1600), guest_.virt(node(1536)));
    EXPECT_FALSE(free().ok());
}

TEST_F(ZonesTest, ListThatLeavesMemory) {
    guest_.put_word(node(1536), 0xdead'0000'0000'0000);
    EXPECT_FALSE(free().ok());
    guest_.put_word(node(1536), guest_.virt(guest_.page_struct(2047) + guest_.lru_offset()));
    EXPECT_FALSE(free().ok());  // a block of 16 frames does not fit behind the last frame
}

TEST_F(ZonesTest, ZoneThatLies) {
    const std::uint64_t spanned = guest_.zone(0) + GuestBuilder::kSpannedAt;
    guest_.put_word(spanned, std::uint64_t{1} << 50);
    EXPECT_FALSE(free().ok());
    guest_.put_word(spanned, GuestBuilder::kFrames - 1);
    EXPECT_TRUE(free().ok());
    guest_.put_word(spanned + 8, 0);  // nothing populated
    EXPECT_FALSE(free().ok());
}

}  // namespace
}  // namespace jumpback::memory
