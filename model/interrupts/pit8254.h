// SPDX-License-Identifier: GPL-2.0-or-later
//
// Channel 0 of the 8254 timer, the legacy tick's source, and the HPET, which can take its place.
// Sources: Intel 8254 datasheet; IA-PC HPET specification, "LegacyReplacement Route".
#pragma once

#include <cstdint>
#include <optional>

namespace jumpback::interrupts {

struct Pit8254 {
    static constexpr std::uint16_t kChannel0 = 0x40;
    static constexpr std::uint16_t kControl = 0x43;

    std::uint8_t mode = 0;     // 0 to 5
    std::uint32_t reload = 0;  // clock periods of 1/1193182 s; a written 0 means 65536
    bool loaded = false;       // a count was written since the control word: it counts
    std::uint8_t access = 3;   // 1: low byte, 2: high byte, 3: low, then high
    std::optional<std::uint8_t> low_byte{};  // of a count written by halves

    bool operator==(const Pit8254&) const = default;

    void out(std::uint16_t at, std::uint8_t value);
    // Rate generator or square wave, counting: an edge on IR0 again and again.
    [[nodiscard]] bool periodic() const { return loaded && (mode == 2 || mode == 3); }
};

struct Hpet {
    bool present = false;
    bool enabled = false;         // general configuration, bit 0
    bool legacy = false;          // general configuration, bit 1: IRQ 0 and 8 come from timers 0, 1
    bool timer0_enabled = false;  // timer 0 raises interrupts

    bool operator==(const Hpet&) const = default;

    // The HPET has taken the PIT's place on IRQ 0.
    [[nodiscard]] bool replaces_pit() const { return present && legacy; }
    [[nodiscard]] bool ticks() const { return replaces_pit() && enabled && timer0_enabled; }
};

}  // namespace jumpback::interrupts
