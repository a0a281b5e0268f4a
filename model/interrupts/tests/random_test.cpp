// SPDX-License-Identifier: GPL-2.0-or-later
//
// What holds for every machine, over random ones. A failure names the seed.
#include <gtest/gtest.h>

#include "model/interrupts/faults.h"
#include "model/interrupts/kernel_ioapic.h"
#include "model/interrupts/tests/machines.h"
#include "model/interrupts/tick_path.h"

namespace jumpback::interrupts {
namespace {

constexpr std::uint64_t kSeeds = 500;
constexpr std::uint64_t kFewSeeds = 60;  // where each machine is run with every fault

TickPath expected_path(const Machine& machine) {
    if (machine.facts.is_32bit && (machine.facts.pic_mode || machine.facts.enabled_via_apicbase)) {
        return TickPath::kPicMode;
    }
    return wires_through_ioapic(machine) ? TickPath::kIoapicVirtualWire
                                         : TickPath::kLapicVirtualWire;
}

// Without an SMI pin that could be taken for a wire of its own.
TickAnswer ask(const Hardware& hardware, const Machine& machine) {
    Board board = machine.board;
    board.pit_pin.reset();
    return can_tick_reach(hardware, board);
}

TEST(RandomTest, ClearThenRestoreOpensTheWay) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        const Machine machine = test::random_running(seed);
        for (const Path path : {Path::kJump, Path::kPlainKexec, Path::kCrash}) {
            const TickAnswer answer = ask(at_entry_of_b(machine, path).hardware, machine);
            ASSERT_TRUE(answer.open_to_pic)
                << name_of(path) << ": "
                << (answer.obstacles.empty() ? "" : answer.obstacles[0].text);
            ASSERT_EQ(answer.path, expected_path(machine)) << name_of(path);
        }
    }
}

TEST(RandomTest, NoPinIsLeftInItsOldMode) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        const Machine machine = test::random_running(seed);
        const Hardware after = at_entry_of_b(machine).hardware;
        for (std::size_t apic = 0; apic < after.ioapics.size(); ++apic) {
            for (std::size_t pin = 0; pin < after.ioapics[apic].pins.size(); ++pin) {
                const Rte old = machine.hw.ioapics[apic].pins[pin];
                const Rte now = after.ioapics[apic].pins[pin];
                if (wires_through_ioapic(machine) &&
                    machine.facts.ioapic_i8259 == PinRef{apic, pin}) {
                    ASSERT_EQ(now.low() & ~Rte::kStatus, 0x700U);
                } else if (old.delivery_mode() == DeliveryMode::kSmi) {
                    // clear_IO_APIC() spares it, but lapic_suspend() has masked it.
                    const std::uint64_t status = Rte::kStatus;
                    ASSERT_EQ(now.raw & ~status, (old.raw & ~status) | Rte::kMasked);
                } else {
                    ASSERT_EQ(now.raw & ~Rte::kStatus, Rte::kMasked) << apic << ", " << pin;
                    ASSERT_FALSE(now.remote_irr());
                }
            }
        }
    }
}

TEST(RandomTest, RestoreBeforeClearLosesTheIoApicWire) {
    std::uint64_t lost = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        const Machine machine = test::random_running(seed);
        if (expected_path(machine) != TickPath::kIoapicVirtualWire) {
            continue;
        }
        Machine wrong = machine;
        run(moved(sequence(Path::kJump, machine.facts.version), "restore_boot_irq_mode",
                  "clear_IO_APIC")
                .value(),
            wrong);
        ASSERT_EQ(ask(wrong.hw, machine).path, TickPath::kNone);
        ++lost;
    }
    EXPECT_GT(lost, kSeeds / 8);
}

// What no kernel puts back (docs/interrupt-model.md, "What the kernel does not restore").
bool is_known_gap(const Machine& machine, const std::string& reg) {
    return (reg == "IMCR" && machine.facts.pic_mode) ||
           (reg == "LAPIC LVTTHMR" && !machine.facts.thermal_vector) ||
           (reg == "LAPIC LVTCMCI" && !machine.facts.mce_intel);
}

TEST(RandomTest, WhateverBDoesAComesBackAsItWas) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        Machine machine = test::random_running(seed);
        const Expectation expected = at_return_of_a(machine);
        run(sequence(Path::kJump, machine.facts.version), machine);
        std::mt19937_64 random(seed);
        test::scribble(machine.hw, random);
        run(sequence(Path::kReturn, machine.facts.version), machine);
        for (const Difference& difference : compare(expected, machine.hw)) {
            if (!is_known_gap(machine, difference.reg)) {
                ADD_FAILURE() << difference.text();
            }
        }
    }
}

// A fault is either invisible in every register on that machine, or it is seen and recognised.
TEST(RandomTest, FaultsAreSeenOrLeaveNoTrace) {
    std::map<std::string, std::uint64_t> seen;
    for (std::uint64_t seed = 1; seed <= kFewSeeds; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        const Machine machine = test::random_running(seed);
        for (const Fault& fault : known_faults()) {
            const Hardware found = with_fault(machine, fault);
            const Expectation expected = fault.path == Path::kReturn
                                             ? at_return_of_a(machine)
                                             : at_entry_of_b(machine, fault.path);
            const bool clean = compare(expected, found).empty();
            seen[fault.id] += clean ? 0 : 1;
            const std::vector<std::string> ids = explain(machine, fault.path, found);
            ASSERT_NE(std::find(ids.begin(), ids.end(), fault.id), ids.end()) << fault.id;
            ASSERT_EQ(clean, ids[0].empty()) << fault.id;
        }
    }
    for (const Fault& fault : known_faults()) {
        EXPECT_GT(seen[fault.id], 0U) << fault.id;
    }
}

TEST(RandomTest, NullPicLeavesNoWay) {
    for (std::uint64_t seed = 1; seed <= kFewSeeds; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        Machine machine = test::random_running(seed);
        if (expected_path(machine) == TickPath::kPicMode) {
            continue;
        }
        machine.facts.nr_legacy_irqs = 0;
        ASSERT_EQ(ask(at_entry_of_b(machine).hardware, machine).path, TickPath::kNone);
    }
}

}  // namespace
}  // namespace jumpback::interrupts
