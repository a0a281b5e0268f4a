// SPDX-License-Identifier: GPL-2.0-or-later
//
// Can the legacy timer's tick reach the CPU that goes on, by which way, and if not, what stands in
// its way? A kernel that is entered by kexec depends on it until it has set up its own timers.
// Ways as in the MP specification 1.4, chapter "Interrupt Mode".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/interrupts/machine.h"

namespace jumpback::interrupts {

enum class TickPath : std::uint8_t {
    kNone,
    kLapicVirtualWire,   // 8259 INTR to LINT0, LVT0 passes it on
    kIoapicVirtualWire,  // 8259 INTR to an I/O APIC pin in ExtINT mode
    kIoapicDirect,       // IRQ 0 to an I/O APIC pin, past the 8259
    kPicMode,            // 8259 INTR straight to the CPU's core
};

std::string_view name_of(TickPath path);  // "none", "LAPIC virtual wire", …

// Where along the way something stands, seen from the CPU.
enum class Where : std::uint8_t {
    kWire,    // between the CPU and the 8259's output (for the direct way: and the timer's line)
    kPic,     // in the 8259: the next kernel's own driver clears that
    kSource,  // the timer itself: so does this
};

struct Obstacle {
    Where where = Where::kWire;
    std::string text;  // "LVT0 is masked (0x10000)"
    bool operator==(const Obstacle&) const = default;
};

struct PathCheck {
    TickPath path = TickPath::kNone;
    std::vector<Obstacle> obstacles;

    // Nothing between the CPU and the 8259: all that the kernel that was left owes the next one,
    // whose legacy timer set-up programs the PIT and unmasks IR0 by itself.
    [[nodiscard]] bool open_to_pic() const;
    [[nodiscard]] bool ticks_now() const { return obstacles.empty(); }
};

enum class TickSource : std::uint8_t { kNone, kPit, kHpet };

struct TickAnswer {
    TickPath path = TickPath::kNone;  // the way that is open; of several, one that ticks
    bool open_to_pic = false;
    bool ticks_now = false;
    TickSource source = TickSource::kNone;  // what raises IRQ 0 now
    std::vector<Obstacle> obstacles;  // of that way; with none open, of every way the board has
    std::vector<PathCheck> paths;     // every way, with all that stands in it
};

// The CPU's interrupt flag, and interrupts in service in its local APIC, are not looked at.
TickAnswer can_tick_reach(const Hardware& hardware, const Board& board);

}  // namespace jumpback::interrupts
