// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every fault with a name is caught, in the place that it says, on each kernel that has a place for
// it; and the same kernels without it show nothing that is not known.
#include "vm/relocate/breaks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "vm/relocate/session.h"
#include "vm/relocate/tests/kernel.h"

namespace jumpback::relocate_check {
namespace {

constexpr std::uint64_t kCases = 400;

Tally run(const std::shared_ptr<const Target>& target, const ListTamper& tamper) {
    Tally tally;
    GeneratorOptions options;
    options.seed = test::seed();
    auto session = Session::create(target, options);
    EXPECT_TRUE(session.ok());
    if (session) {
        session.value().tamper_with(tamper);
        const Status done = session.value().run(0, kCases, tally);
        EXPECT_TRUE(done.ok()) << done.error().message();
    }
    return tally;
}

using BreaksTest = test::OnKernel;

TEST_P(BreaksTest, TheKernelItselfShowsNothingNew) {
    const Tally tally = run(target_, nullptr);
    EXPECT_EQ(tally.cases, kCases);
    EXPECT_EQ(tally.failed, 0U) << "seed " << test::seed() << ", case "
                                << tally.failures.front().index << ": "
                                << tally.failures.front().first_news().text();
    EXPECT_GT(tally.came_back, kCases / 2);
}

TEST_P(BreaksTest, EachIsCaughtWhereItSays) {
    // What a kernel does not do cannot be taken from it.
    const bool mended = target_->generation.gdt_reloaded;
    const bool flushes = target_->generation.isa == relocate::Isa::kX86_64;
    const bool flags = target_->generation.abi == relocate::Abi::kFlags;
    for (const Break& fault : breaks()) {
        const Result<Broken> broken = apply_break(*target_, fault.name);
        const bool missing = (fault.name == "gdt-not-restored" && !mended) ||
                             (fault.name == "preserve-flag-lost" && !flags) ||
                             (fault.name == "cache-flush-lost" && !flushes);
        ASSERT_EQ(broken.ok(), !missing) << fault.name;
        if (missing) {
            EXPECT_NE(broken.error().message().find(fault.name), std::string::npos);
            continue;
        }
        EXPECT_FALSE(broken->what.empty());
        const Tally tally = run(broken->target, broken->tamper);
        ASSERT_GT(tally.failed, 0U) << fault.name << ": " << broken->what;
        for (const FailedCase& failed : tally.failures) {
            const Finding& first = failed.first_news();
            EXPECT_EQ(first.stop, fault.stop) << fault.name << ": " << first.text();
            EXPECT_NE(std::find(fault.items.begin(), fault.items.end(), first.item),
                      fault.items.end())
                << fault.name << ": " << first.text();
        }
    }
}

TEST_P(BreaksTest, CodeOtherThanTheFaultStaysAsItWas) {
    for (const Break& fault : breaks()) {
        const Result<Broken> broken = apply_break(*target_, fault.name);
        if (!broken) {
            continue;
        }
        const auto& was = target_->code.blob;
        const auto& is = broken->target->code.blob;
        ASSERT_EQ(was.size(), is.size());
        std::uint64_t changed = 0;
        for (std::size_t at = 0; at < was.size(); ++at) {
            changed += was[at] != is[at] ? 1 : 0;
        }
        // One instruction, or none where the list is tampered with.
        EXPECT_LE(changed, 15U) << fault.name;
        EXPECT_NE(changed == 0, broken->tamper == nullptr) << fault.name;
    }
}

TEST(BreakNamesTest, AnUnknownOneIsToldWithThoseThatThereAre) {
    const Result<Broken> none = apply_break(Target{}, "no-such-fault");
    ASSERT_FALSE(none.ok());
    for (const Break& fault : breaks()) {
        EXPECT_NE(none.error().message().find(fault.name), std::string::npos) << fault.name;
    }
    std::set<std::string_view> names;
    for (const Break& fault : breaks()) {
        EXPECT_TRUE(names.insert(fault.name).second) << fault.name;
        EXPECT_FALSE(fault.items.empty());
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, BreaksTest,
                         testing::Values("5.10-x86_64", "6.1-x86_64", "6.1-i386", "6.12-x86_64",
                                         "7.2-x86_64", "7.3-x86_64"),
                         test::name_of_kernel);

}  // namespace
}  // namespace jumpback::relocate_check
