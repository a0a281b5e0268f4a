// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/vmcoreinfo.h"

#include <gtest/gtest.h>

#include "model/memory/tests/guest_builder.h"

namespace jumpback::memory {
namespace {

TEST(Vmcoreinfo, ParsesEveryKind) {
    const auto info = Vmcoreinfo::parse(
        "OSRELEASE=6.12.3-x\nSYMBOL(mem_section)=ffffffff81bd47b8\nSIZE(page)=64\n"
        "OFFSET(page.lru)=8\nLENGTH(mem_section)=2048\nNUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n"
        "NUMBER(VMALLOC_START)=0xffffc90000000000\nNUMBER(junk)=12x\n");
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->release(), "6.12.3-x");
    EXPECT_EQ(info->version(), 6012U);
    EXPECT_EQ(info->symbol("mem_section")->raw, 0xffff'ffff'81bd'47b8U);
    EXPECT_EQ(info->size("page").value(), 64U);
    EXPECT_EQ(info->offset("page.lru").value(), 8U);
    EXPECT_EQ(info->length("mem_section").value(), 2048U);
    EXPECT_EQ(*info->number("PAGE_BUDDY_MAPCOUNT_VALUE"), -129);
    EXPECT_EQ(static_cast<std::uint64_t>(*info->number("VMALLOC_START")), 0xffff'c900'0000'0000U);
    EXPECT_FALSE(info->number("junk"));
    EXPECT_FALSE(info->number("absent"));
    const auto missing = info->size("zone");
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message().find("SIZE(zone)"), std::string::npos);
}

TEST(Vmcoreinfo, RefusesOtherText) {
    EXPECT_FALSE(Vmcoreinfo::parse("OSRELEASE=6.1\nnonsense\n").ok());
    EXPECT_FALSE(Vmcoreinfo::parse(std::string_view("A=\0B", 4)).ok());
    EXPECT_EQ(Vmcoreinfo::parse("OSRELEASE=unknown\n")->version(), 0U);
    EXPECT_EQ(Vmcoreinfo::parse("")->version(), 0U);
}

TEST(Vmcoreinfo, FoundInEveryMachine) {
    for (const test::Machine machine : {test::Machine::kX86_64, test::Machine::kX86_64Level5,
                                        test::Machine::kI386, test::Machine::kI386Pae}) {
        test::GuestBuilder guest({machine});
        guest.finish();
        const GuestRam view = guest.view();
        const auto kernel = guest.open(view);
        ASSERT_TRUE(kernel.ok()) << kernel.error().message();
        EXPECT_EQ((*kernel)->info().release(), "6.1.192-test");
    }
}

TEST(Vmcoreinfo, LyingPointers) {
    test::GuestBuilder guest;
    guest.finish();
    const GuestRam view = guest.view();
    const std::uint64_t data = guest.phys(guest.symbols["vmcoreinfo_data"]);
    const std::uint64_t size = guest.phys(guest.symbols["vmcoreinfo_size"]);
    const std::uint64_t good_size = guest.get_word(size);
    for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
        guest.put_word(size, bad);
        EXPECT_FALSE(guest.open(view).ok()) << bad;
    }
    guest.put_word(size, good_size);
    EXPECT_TRUE(guest.open(view).ok());
    guest.put_word(data, 0x1234'5678'9abc'def0);
    EXPECT_FALSE(guest.open(view).ok());
    guest.symbols.erase("vmcoreinfo_data");
    const auto missing = guest.open(view);
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message().find("vmcoreinfo_data"), std::string::npos);
}

}  // namespace
}  // namespace jumpback::memory
