// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every check of kexec_load with its errno, its borders, and its place in the order.
#include "model/kimage/segment_checks.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <vector>

#include "model/kimage/kexec_flags.h"

namespace jumpback::kimage {
namespace {

constexpr std::uint64_t kRamPages = 0x1000;  // half: 0x800 pages

// A call that passes, and the state in which it does.
struct Case {
    explicit Case(const LoadRules& row) : rules(row) { conditions.totalram_pages = kRamPages; }
    [[nodiscard]] LoadVerdict check() const {
        return check_load(rules, setup, conditions, {entry, flags, segments, compat});
    }
    const LoadRules& rules;
    KernelSetup setup;
    LoadConditions conditions;
    std::uint64_t entry = 0x10'0000;
    std::uint64_t flags = 0;
    std::vector<Segment> segments = {{0x1800, Gpa{0x10'0000}, 0x2000},
                                     {0x1000, Gpa{0x20'0000}, 0x1000}};
    bool compat = false;
};

const LoadRules& rules_of(const char* release, Arch arch = Arch::kX86_64) {
    return *find_rules(release, arch).value().rules;
}

void expect(const LoadVerdict& verdict, std::int64_t result, Check check) {
    EXPECT_EQ(verdict.result, result) << name_of(verdict.check) << ": " << verdict.text;
    EXPECT_EQ(name_of(verdict.check), name_of(check)) << verdict.text;
    EXPECT_EQ(verdict.text.empty(), verdict.ok());
}

TEST(LoadRulesTest, RowsAndWhatStandsInForMissingOnes) {
    EXPECT_EQ(load_rules().size(), 10U);
    for (const LoadRules& row : load_rules()) {
        EXPECT_EQ(row.segment_max, 16U);
        EXPECT_EQ(row.word(), row.arch == Arch::kX86_64 ? Word::k64 : Word::k32);
        EXPECT_EQ(row.inclusive_ranges, row.version >= (Version{6, 12}));
        EXPECT_EQ(row.control_order, row.arch == Arch::kX86_64 && row.version < (Version{6, 12}));
    }
    EXPECT_EQ(find_rules("6.1.192-jumpback", Arch::kI386)->rules->version, (Version{6, 1}));
    EXPECT_TRUE(find_rules("6.1.192", Arch::kX86_64)->note.empty());
    EXPECT_EQ(find_rules("6.18.3", Arch::kX86_64)->rules->version, (Version{6, 12}));
    EXPECT_EQ(find_rules("6.18.3", Arch::kX86_64)->note,
              "no rules of 6.18: those of 6.12 stand in");
    EXPECT_EQ(find_rules("4.19", Arch::kX86_64)->rules->version, (Version{5, 10}));
    EXPECT_EQ(find_rules("8.0", Arch::kI386)->rules->version, (Version{7, 3}));
    EXPECT_FALSE(find_rules("next", Arch::kX86_64).ok());
    EXPECT_FALSE(find_rules("6.", Arch::kX86_64).ok());
    EXPECT_FALSE(arch_named("sparc").ok());
    EXPECT_EQ(arch_named("i386").value(), Arch::kI386);
}

class AllRulesTest : public testing::TestWithParam<LoadRules> {
  protected:
    Case good_{GetParam()};
};

TEST_P(AllRulesTest, AGoodCallPasses) {
    expect(good_.check(), 0, Check::kNone);
    EXPECT_FALSE(good_.check().unloads);
    good_.segments.clear();
    EXPECT_TRUE(good_.check().unloads);
    expect(good_.check(), 0, Check::kNone);
}

TEST_P(AllRulesTest, Flags) {
    const bool is_new = GetParam().version >= Version{6, 12};
    const auto check = [&](std::uint64_t flags) {
        Case call = good_;
        call.flags = flags;
        return call.check();
    };
    expect(check(kKexecPreserveContext), 0, Check::kNone);
    for (const std::uint64_t flag : {kKexecUpdateElfcorehdr, kKexecCrashHotplugSupport}) {
        expect(check(flag), is_new ? 0 : -EINVAL, is_new ? Check::kNone : Check::kFlags);
    }
    for (std::uint64_t flag = 0x10; flag < 0x1'0000; flag <<= 1) {
        expect(check(flag), -EINVAL, Check::kFlags);  // the stages' bits among them
    }
    const std::uint64_t crash_jump = kKexecOnCrash | kKexecPreserveContext;
    Case both = good_;
    both.flags = crash_jump;
    EXPECT_NE(both.check().check, Check::kFlags);
    LoadRules mended = GetParam();
    mended.refuses_crash_jump = true;
    Case refused(mended);
    refused.flags = crash_jump;
    expect(refused.check(), -EINVAL, Check::kFlags);
    refused.flags = kKexecPreserveContext;
    expect(refused.check(), 0, Check::kNone);
    good_.setup.kexec_jump = false;
    expect(check(kKexecPreserveContext), -EINVAL, Check::kFlags);
    if (GetParam().arch == Arch::kX86_64) {
        expect(check(std::uint64_t{1} << 32), 0, Check::kNone);  // never looked at
        expect(check(std::uint64_t{1} << 63), 0, Check::kNone);
    }
}

TEST_P(AllRulesTest, Architecture) {
    const bool wide = GetParam().arch == Arch::kX86_64;
    const auto check = [&](std::uint64_t bits, bool compat) {
        Case call = good_;
        call.flags = bits;
        call.compat = compat;
        return call.check();
    };
    expect(check(kKexecArchX86_64, false), wide ? 0 : -EINVAL,
           wide ? Check::kNone : Check::kArchitecture);
    expect(check(kKexecArch386, false), wide ? -EINVAL : 0,
           wide ? Check::kArchitecture : Check::kNone);
    expect(check(0x7fff'0000, false), -EINVAL, Check::kArchitecture);
    expect(check(kKexecArchDefault, true), -EINVAL, Check::kArchitecture);
    expect(check(0x7fff'0000, true), 0, Check::kNone);
}

TEST_P(AllRulesTest, NumberOfSegments) {
    good_.segments.clear();
    for (std::uint64_t at = 0; at < 16; ++at) {
        good_.segments.push_back({0, Gpa{0x10'0000 + at * 0x2000}, 0x1000});
    }
    expect(good_.check(), 0, Check::kNone);
    good_.segments.push_back({0, Gpa{0x80'0000}, 0x1000});
    expect(good_.check(), -EINVAL, Check::kSegmentCount);
}

TEST_P(AllRulesTest, Addresses) {
    const std::uint64_t max = GetParam().word_max();
    const std::uint64_t limit = GetParam().destination_limit(good_.setup);
    const auto check = [&](std::uint64_t mem, std::uint64_t memsz) {
        Case call = good_;
        call.segments[1] = {0, Gpa{mem}, memsz};
        LoadVerdict verdict = call.check();
        EXPECT_EQ(verdict.segment, verdict.ok() ? std::nullopt : std::optional<std::size_t>(1));
        return verdict;
    };
    expect(check(max - 0xfff, 0x1000), -EADDRNOTAVAIL, Check::kWraps);  // ends at 0
    expect(check(max - 0xfff, 0x3000), -EADDRNOTAVAIL, Check::kWraps);
    expect(check(max - 0x1fff, 0x1000), GetParam().arch == Arch::kI386 ? 0 : -EADDRNOTAVAIL,
           GetParam().arch == Arch::kI386 ? Check::kNone : Check::kDestinationLimit);
    expect(check(0x20'0001, 0x1000), -EADDRNOTAVAIL, Check::kAlignment);
    expect(check(0x20'0000, 0x1001), -EADDRNOTAVAIL, Check::kAlignment);
    expect(check(0x20'0001, 0xfff), -EADDRNOTAVAIL, Check::kAlignment);
    // MAXMEM - 1 and ~0 are no page borders: the last page below them is never allowed on x86_64,
    // as the segment would end at MAXMEM.
    const std::uint64_t last_end = limit & ~std::uint64_t{0xfff};
    expect(check(last_end - 0x1000, 0x1000), 0, Check::kNone);
    if (GetParam().arch == Arch::kX86_64) {
        expect(check(last_end, 0x1000), -EADDRNOTAVAIL, Check::kDestinationLimit);
        EXPECT_EQ(last_end + 0x1000, std::uint64_t{1} << 46);
        good_.setup.five_level = true;
        expect(check(last_end, 0x1000), 0, Check::kNone);
        expect(check((std::uint64_t{1} << 52) - 0x1000, 0x1000), -EADDRNOTAVAIL,
               Check::kDestinationLimit);
    }
    expect(check(0, 0), 0, Check::kNone);  // as kexec --load-jump-back-helper passes it
}

TEST_P(AllRulesTest, Overlap) {
    const auto check = [&](std::uint64_t mem, std::uint64_t memsz) {
        Case call = good_;
        call.segments[1] = {0, Gpa{mem}, memsz};
        return call.check();
    };
    expect(check(0xf'f000, 0x1000), 0, Check::kNone);
    expect(check(0xf'f000, 0x2000), -EINVAL, Check::kOverlap);
    expect(check(0x10'1000, 0x1000), -EINVAL, Check::kOverlap);
    expect(check(0x10'2000, 0x1000), 0, Check::kNone);
    expect(check(0xf'0000, 0x10'0000), -EINVAL, Check::kOverlap);
    expect(check(0x10'1000, 0), -EINVAL, Check::kOverlap);  // empty, but inside
    expect(check(0x10'0000, 0), 0, Check::kNone);           // at its border
    const LoadVerdict verdict = check(0x10'1000, 0x1000);
    EXPECT_EQ(verdict.segment, 1U);
    EXPECT_EQ(verdict.other, 0U);
}

TEST_P(AllRulesTest, Buffers) {
    good_.segments[0].bufsz = 0x2000;
    expect(good_.check(), 0, Check::kNone);
    good_.segments[0].bufsz = 0x2001;
    expect(good_.check(), -EINVAL, Check::kBufferLarger);
    EXPECT_EQ(good_.check().segment, 0U);
}

TEST_P(AllRulesTest, HalfOfRam) {
    good_.segments = {{0, Gpa{0x100'0000}, 0x800 * 0x1000}};
    expect(good_.check(), 0, Check::kNone);
    good_.conditions.totalram_pages = kRamPages + 1;  // an odd page does not count
    good_.segments[0].memsz += 0x1000;
    expect(good_.check(), -EINVAL, Check::kSegmentPages);
    good_.segments = {{0, Gpa{0x100'0000}, 0x7ff * 0x1000}, {0, Gpa{0x200'0000}, 0x1000}};
    expect(good_.check(), 0, Check::kNone);
    good_.segments.push_back({0, Gpa{0x300'0000}, 0x1000});
    expect(good_.check(), -EINVAL, Check::kTotalPages);
    EXPECT_EQ(good_.check().segment, std::nullopt);
}

TEST_P(AllRulesTest, CrashImages) {
    good_.flags = kKexecOnCrash;
    good_.conditions.crash = {Gpa{0x10'0000}, Gpa{0x2f'ffff}};
    expect(good_.check(), 0, Check::kNone);
    good_.segments[1] = {0, Gpa{0x2f'f000}, 0x1000};
    expect(good_.check(), 0, Check::kNone);
    good_.segments[1] = {0, Gpa{0x2f'f000}, 0x2000};
    expect(good_.check(), -EADDRNOTAVAIL, Check::kCrashRegion);
    good_.segments[1] = {0, Gpa{0xf'f000}, 0x1000};
    expect(good_.check(), -EADDRNOTAVAIL, Check::kCrashRegion);
    good_.segments[1] = {0, Gpa{0}, 0};
    expect(good_.check(), -EADDRNOTAVAIL, Check::kCrashRegion);
    for (const std::uint64_t entry : {0xf'ffffU, 0x30'0000U}) {
        good_.entry = entry;
        expect(good_.check(), -EADDRNOTAVAIL, Check::kCrashEntry);
    }
    for (const std::uint64_t entry : {0x10'0000U, 0x2f'ffffU}) {
        good_.entry = entry;
        expect(good_.check(), -EADDRNOTAVAIL, Check::kCrashRegion);
    }
    // Without CONFIG_CRASH_DUMP the flag is accepted and means nothing, where that can be left out.
    good_.setup.crash_dump = false;
    const bool optional = GetParam().crash_dump_optional;
    expect(good_.check(), optional ? 0 : -EADDRNOTAVAIL,
           optional ? Check::kNone : Check::kCrashRegion);
}

TEST_P(AllRulesTest, LoadLimits) {
    good_.conditions.load_limit = 1;
    const bool has = GetParam().load_limits;
    EXPECT_EQ(good_.check().uses_load_limit, has);
    good_.segments[0].bufsz = 0x2001;  // spent all the same
    EXPECT_EQ(good_.check().uses_load_limit, has);
    good_.flags = 0x8000;
    EXPECT_EQ(good_.check().uses_load_limit, has);
    good_.conditions.load_limit = 0;
    expect(good_.check(), has ? -EPERM : -EINVAL, has ? Check::kLoadLimit : Check::kFlags);
    EXPECT_FALSE(good_.check().uses_load_limit);
    good_.conditions.may_load = false;
    expect(good_.check(), -EPERM, Check::kPermission);
}

// Everything is wrong; what the kernel looks at first is put right, then the next.
TEST_P(AllRulesTest, Order) {
    struct Step {
        Check check;
        std::int64_t result;
        std::function<void(Case&)> mend;
    };
    Case call{GetParam()};
    call.conditions.may_load = false;
    call.conditions.security_error = EACCES;
    call.conditions.locked_down = true;
    call.conditions.segments_readable = false;
    call.conditions.locked = true;
    call.conditions.crash = {Gpa{0x10'0000}, Gpa{0x4f'ffff}};
    call.flags = kKexecOnCrash | 0x8000 | 0x7fff'0000;
    call.entry = 0;
    const std::uint64_t max = GetParam().word_max();
    call.segments.assign(17, Segment{0x4000, Gpa{0x10'0000}, 0x3000});
    call.segments[0] = {0x4000, Gpa{max - 0xfff}, 0x2000};
    call.conditions.totalram_pages = 4;

    const Step readable = {Check::kSegmentsUnreadable, -EFAULT,
                           [](Case& c) { c.conditions.segments_readable = true; }};
    std::vector<Step> steps = {
        {Check::kPermission, -EPERM, [](Case& c) { c.conditions.may_load = true; }},
        {Check::kSecurityModule, -EACCES, [](Case& c) { c.conditions.security_error = 0; }},
        {Check::kLockdown, -EPERM, [](Case& c) { c.conditions.locked_down = false; }},
        {Check::kFlags, -EINVAL, [](Case& c) { c.flags &= ~std::uint64_t{0x8000}; }},
        {Check::kSegmentCount, -EINVAL, [](Case& c) { c.segments.pop_back(); }},
        {Check::kArchitecture, -EINVAL, [](Case& c) { c.flags &= 0xffff; }},
    };
    if (GetParam().copies_before_lock) {
        steps.push_back(readable);
    }
    steps.push_back({Check::kLocked, -EBUSY, [](Case& c) { c.conditions.locked = false; }});
    steps.push_back({Check::kCrashEntry, -EADDRNOTAVAIL, [](Case& c) { c.entry = 0x10'0000; }});
    if (!GetParam().copies_before_lock) {
        steps.push_back(readable);
    }
    steps.insert(steps.end(),
                 {{Check::kWraps, -EADDRNOTAVAIL,
                   [](Case& c) {
                       c.segments[0] = {0x4000, Gpa{0x10'0800}, 0x3000};
                   }},
                  {Check::kAlignment, -EADDRNOTAVAIL,
                   [](Case& c) {
                       const std::uint64_t limit = c.rules.destination_limit(c.setup) & ~0xfffULL;
                       // On i386 nothing that ends in the address space reaches the limit.
                       c.segments[0] = c.rules.arch == Arch::kI386
                                           ? Segment{0x4000, Gpa{0x10'0000}, 0x3000}
                                           : Segment{0x4000, Gpa{limit}, 0x3000};
                   }},
                  {Check::kDestinationLimit, -EADDRNOTAVAIL,
                   [](Case& c) {
                       c.segments[0] = {0x4000, Gpa{0x10'0000}, 0x3000};
                   }},
                  {Check::kOverlap, -EINVAL,
                   [](Case& c) {
                       c.segments = {{0x4000, Gpa{0x10'0000}, 0x3000}, {0, Gpa{0x60'0000}, 0x1000}};
                   }},
                  {Check::kBufferLarger, -EINVAL, [](Case& c) { c.segments[0].bufsz = 0x3000; }},
                  {Check::kSegmentPages, -EINVAL, [](Case& c) { c.conditions.totalram_pages = 6; }},
                  {Check::kTotalPages, -EINVAL, [](Case& c) { c.conditions.totalram_pages = 8; }},
                  {Check::kCrashRegion, -EADDRNOTAVAIL,
                   [](Case& c) { c.segments[1].mem = Gpa{0x40'0000}; }}});
    for (const Step& step : steps) {
        if (step.check == Check::kDestinationLimit && GetParam().arch == Arch::kI386) {
            continue;
        }
        expect(call.check(), step.result, step.check);
        step.mend(call);
    }
    expect(call.check(), 0, Check::kNone);
}

INSTANTIATE_TEST_SUITE_P(Rules, AllRulesTest,
                         testing::ValuesIn(load_rules().begin(), load_rules().end()),
                         [](const auto& which) {
                             return std::string(name_of(which.param.arch)) + "_" +
                                    std::to_string(which.param.version.major) + "_" +
                                    std::to_string(which.param.version.minor);
                         });

TEST(SegmentChecksTest, CompatCallReturnsTheBytesLeft) {
    Case call{rules_of("6.1")};
    call.compat = true;
    call.flags = kKexecArch386;
    call.conditions.segments_readable = false;
    call.conditions.locked = true;  // copied before the lock, in every version
    expect(call.check(), 16, Check::kSegmentsUnreadable);
    Case old{rules_of("5.10")};
    old.compat = true;
    old.flags = kKexecArch386;
    old.conditions.segments_readable = false;
    old.conditions.locked = true;
    expect(old.check(), -EFAULT, Check::kSegmentsUnreadable);
}

TEST(SegmentChecksTest, NamesOfErrors) {
    EXPECT_EQ(errno_name(EADDRNOTAVAIL), "EADDRNOTAVAIL");
    EXPECT_EQ(errno_name(EBUSY), "EBUSY");
    EXPECT_EQ(errno_name(9999), "9999");
}

}  // namespace
}  // namespace jumpback::kimage
