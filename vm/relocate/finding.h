// SPDX-License-Identifier: GPL-2.0-or-later
//
// One difference between the model and the machine, at one of the four stops.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/relocate/defects.h"

namespace jumpback::relocate_check {

enum class Stop : std::uint8_t {
    kCall,         // P0: the call in machine_kexec
    kCallee,       // P1: the callee's entry
    kReturnPoint,  // P2: where the callee comes back to
    kCaller,       // P3: back in C
};
std::string_view name_of(Stop stop);  // "P0" ... "P3"

enum class FindingKind : std::uint8_t {
    kMemory,
    kRegister,
    kLost,  // the place was not reached: a fault, or too many instructions
};

struct Finding {
    Stop stop = Stop::kCallee;
    FindingKind kind = FindingKind::kMemory;
    // What it is, so that two cases can be said to show the same: a page's role, a register.
    std::string item;
    // The place in full: "destination of move 3", "re-entry word".
    std::string place;
    std::uint64_t gpa = 0;            // memory: of the first differing byte
    std::uint32_t differing = 0;      // memory: how many bytes of the page
    std::vector<std::byte> expected;  // memory: at most 16 bytes from there
    std::vector<std::byte> found;
    std::uint64_t expected_value = 0;  // registers
    std::uint64_t found_value = 0;
    std::string note;                         // where the found bytes come from; what a fault was
    const relocate::Defect* known = nullptr;  // a known defect of this kernel explains it
    const relocate::Defect* resembles =
        nullptr;  // it looks like one that this kernel should not have

    // One line for people.
    [[nodiscard]] std::string text() const;
    // Same stop, kind and item.
    [[nodiscard]] bool same_kind(const Finding& other) const {
        return stop == other.stop && kind == other.kind && item == other.item;
    }
};

}  // namespace jumpback::relocate_check
