// SPDX-License-Identifier: GPL-2.0-or-later
//
// Red twins: without the fault the comparison is clean, with it the right register and step are
// blamed, and the fault is recognised among all known ones.
#include "model/interrupts/faults.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/interrupts/tests/machines.h"
#include "model/interrupts/tick_path.h"

namespace jumpback::interrupts {
namespace {

class FaultTest : public testing::TestWithParam<std::size_t> {
  protected:
    [[nodiscard]] const Fault& fault() const { return known_faults().at(GetParam()); }
    // Faults about the IOAPIC's wire need a board that has one.
    [[nodiscard]] Machine before() const {
        const bool wire = fault().id == "R8-order" || fault().id == "pin0-wire";
        Machine machine = wire ? test::running_with_ext_int_pin() : test::running();
        machine.hw.ioapics[0].pins[0].raw = 0x28;  // "its old mode" is something to see
        return machine;
    }
};

TEST_P(FaultTest, CleanWithout) {
    const Machine machine = before();
    Machine right = machine;
    if (fault().path == Path::kReturn) {
        run(sequence(Path::kJump, right.facts.version), right);
    }
    run(sequence(fault().path, right.facts.version), right);
    const Expectation expected = fault().path == Path::kReturn
                                     ? at_return_of_a(machine)
                                     : at_entry_of_b(machine, fault().path);
    for (const Difference& difference : compare(expected, right.hw)) {
        ADD_FAILURE() << difference.text();
    }
    const std::vector<std::string> ids = explain(machine, fault().path, right.hw);
    ASSERT_FALSE(ids.empty());
    EXPECT_EQ(ids[0], "");
    EXPECT_EQ(std::count(ids.begin(), ids.end(), fault().id), 0);
}

TEST_P(FaultTest, BlamedWith) {
    const Machine machine = before();
    const Hardware found = with_fault(machine, fault());
    const Expectation expected = fault().path == Path::kReturn
                                     ? at_return_of_a(machine)
                                     : at_entry_of_b(machine, fault().path);
    const std::vector<Difference> differences = compare(expected, found);
    std::string text;
    for (const Difference& difference : differences) {
        text += difference.text() + "\n";
    }
    EXPECT_TRUE(std::any_of(differences.begin(), differences.end(),
                            [&](const Difference& difference) {
                                return difference.reg.starts_with(fault().reg) &&
                                       difference.step == fault().step;
                            }))
        << fault().id << " wanted " << fault().reg << " by " << fault().step << ", got\n"
        << text;
    std::vector<std::string> ids{fault().id};
    if (fault().id == "R8-order" || fault().id == "pin0-wire") {
        ids = {"pin0-wire", "R8-order"};  // these two leave the same state
    }
    EXPECT_EQ(explain(machine, fault().path, found), ids);
}

INSTANTIATE_TEST_SUITE_P(Known, FaultTest, testing::Range(std::size_t{0}, known_faults().size()),
                         [](const testing::TestParamInfo<std::size_t>& param) {
                             std::string name = known_faults().at(param.param).id;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

const Fault& fault(const std::string& id) {
    const auto& all = known_faults();
    return *std::find_if(all.begin(), all.end(), [&](const Fault& f) { return f.id == id; });
}

TickAnswer tick_after(const Machine& before, const std::string& id) {
    return can_tick_reach(with_fault(before, fault(id)), before.board);
}

// The bug that the 2008 posts tell of: the second kernel gets no timer interrupts.
TEST(TickOfFaultTest, TheBugOf2008) {
    const TickAnswer answer = tick_after(test::running(), "R7");
    EXPECT_EQ(answer.path, TickPath::kNone);
    EXPECT_FALSE(answer.open_to_pic);
    const auto& in_lapic_way = answer.paths.at(0).obstacles;
    ASSERT_GE(in_lapic_way.size(), 2U);
    EXPECT_EQ(in_lapic_way[0].text, "SPIV bit 8 clear (0xff): LAPIC software-disabled");
    EXPECT_EQ(in_lapic_way[1].text, "LVT0 is masked (0x10000)");
}

TEST(TickOfFaultTest, OrderLosesTheIoApicWire) {
    const Machine before = test::running_with_ext_int_pin();
    EXPECT_EQ(can_tick_reach(at_entry_of_b(before).hardware, before.board).path,
              TickPath::kIoapicVirtualWire);
    const TickAnswer answer = tick_after(before, "R8-order");
    EXPECT_EQ(answer.path, TickPath::kNone);
    // Without such a pin the order makes no difference: clearing does not touch the LAPIC.
    EXPECT_EQ(tick_after(test::running(), "R8-order").path, TickPath::kLapicVirtualWire);
}

TEST(TickOfFaultTest, EachOfTheOthers) {
    for (const char* id :
         {"R7-restore", "R8-shutdown", "R8-kexec", "R8-crash", "R9-lvt0", "R9-spiv", "R9-order"}) {
        EXPECT_EQ(tick_after(test::running(), id).path, TickPath::kNone) << id;
    }
    // These are seen in registers only: the LAPIC's wire is there.
    for (const char* id : {"R7-clear"}) {
        EXPECT_TRUE(tick_after(test::running(), id).open_to_pic) << id;
    }
}

// QEMU's LAPIC does not mask what is software-disabled: this fault leaves no trace there.
TEST(TickOfFaultTest, OrderOfSpivIsInvisibleUnderQemu) {
    Machine before = test::running();
    before.hw.lapic.flavour = LapicFlavour::kQemu;
    const auto ids = explain(before, Path::kJump, with_fault(before, fault("R9-order")));
    ASSERT_FALSE(ids.empty());
    EXPECT_EQ(ids.front(), "");
    EXPECT_EQ(ids.back(), "R9-order");
}

TEST(TickOfFaultTest, NothingKnownExplainsNonsense) {
    const Machine before = test::running();
    Hardware found = at_entry_of_b(before).hardware;
    found.lapic.ldr = 0x77000000;
    EXPECT_TRUE(explain(before, Path::kJump, found).empty());
}

}  // namespace
}  // namespace jumpback::interrupts
