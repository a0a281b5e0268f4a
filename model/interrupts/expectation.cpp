// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/expectation.h"

#include <algorithm>

#include "model/interrupts/registers.h"

namespace jumpback::interrupts {
namespace {

const Register* find(const std::vector<Register>& all, std::string_view name) {
    const auto place =
        std::find_if(all.begin(), all.end(), [&](const Register& reg) { return reg.name == name; });
    return place == all.end() ? nullptr : &*place;
}

std::uint64_t value_in(const Hardware& hardware, const Register& reg) {
    const Result<std::uint64_t> value = get(hardware, reg.name);
    return value ? *value & reg.settings : 0;
}

// Fills in step and since from the model's own way.
void blame(Difference& difference, const Expectation& expected, const Register& reg) {
    std::uint64_t last = value_in(expected.before, reg);
    const std::uint64_t found = difference.found & reg.settings;
    difference.since = !difference.missing && last == found ? "before" : "";
    for (const TraceEntry& entry : expected.trace) {
        const std::uint64_t now = value_in(entry.after, reg);
        if (now != last) {
            difference.step = entry.step;
        }
        if (!difference.missing && now == found) {
            difference.since = entry.step;
        }
        last = now;
    }
}

std::string with_meaning(std::uint64_t value, const std::string& words) {
    return words.empty() ? hex(value) : hex(value) + " (" + words + ")";
}

}  // namespace

Expectation at_entry_of_b(const Machine& before, Path path) {
    Machine machine = before;
    Expectation out;
    out.before = before.hw;
    out.trace = run(sequence(path, before.facts.version), machine);
    out.hardware = machine.hw;
    if (path != Path::kJump) {
        // Interrupts are still on at the start: a timer may expire, and be armed anew.
        out.ignored.insert("LAPIC TMICT");
    }
    return out;
}

Expectation at_return_of_a(const Machine& before) {
    Machine machine = before;
    run(sequence(Path::kJump, before.facts.version), machine);
    Expectation out;
    out.before = machine.hw;
    out.trace = run(sequence(Path::kReturn, before.facts.version), machine);
    out.hardware = before.hw;
    // The promise is what was before. Where the kernel's own way is known to depart, it is left
    // out: the tick devices are set up for the next timer, not as they were.
    out.ignored = {"LAPIC TMICT", "PIT mode", "PIT counting", "HPET timer 0"};
    PicPair& pics = out.hardware.pics;
    if (before.facts.nr_legacy_irqs != 0) {
        pics.master.elcr = machine.hw.pics.master.elcr;
        pics.slave.elcr = machine.hw.pics.slave.elcr;
    }
    return out;
}

std::vector<Difference> compare(const Expectation& expected, const Hardware& found) {
    std::vector<Difference> out;
    const std::vector<Register> wanted = registers(expected.hardware);
    const std::vector<Register> seen = registers(found);
    for (const Register& reg : wanted) {
        if (expected.ignored.contains(reg.name)) {
            continue;
        }
        const Register* other = find(seen, reg.name);
        if (other != nullptr && ((reg.value ^ other->value) & reg.settings) == 0) {
            continue;
        }
        Difference difference;
        difference.reg = reg.name;
        difference.expected = reg.value;
        difference.expected_meaning = meaning(reg.name, reg.value);
        difference.missing = other == nullptr;
        if (other != nullptr) {
            difference.found = other->value;
            difference.found_meaning = meaning(reg.name, other->value);
        }
        blame(difference, expected, reg);
        out.push_back(std::move(difference));
    }
    return out;
}

std::string Difference::text() const {
    std::string out = reg + ": expected " + with_meaning(expected, expected_meaning) + ", found ";
    out += missing ? "no such register" : with_meaning(found, found_meaning);
    if (!step.empty()) {
        out += "; its value comes from " + step;
    }
    if (since == "before") {
        out += "; as it was before all of it";
    } else if (!since.empty()) {
        out += "; as it was after " + since;
    }
    return out;
}

}  // namespace jumpback::interrupts
