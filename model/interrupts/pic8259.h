// SPDX-License-Identifier: GPL-2.0-or-later
//
// The pair of 8259 interrupt controllers, as software sees it through their ports. Source: Intel
// 8259A datasheet; ELCR as in the Intel PIIX and ICH datasheets.
#pragma once

#include <array>
#include <cstdint>

namespace jumpback::interrupts {

// Initialisation: after ICW1 the data port takes ICW2, ICW3 (if cascaded), ICW4 (if asked for).
enum class PicInit : std::uint8_t { kNone, kIcw2, kIcw3, kIcw4, kDone };

struct Pic8259 {
    std::uint8_t imr = 0;          // 1: masked
    std::uint8_t irr = 0;          // requests
    std::uint8_t isr = 0;          // in service
    std::uint8_t vector_base = 0;  // ICW2: the vector of IR0
    std::uint8_t elcr = 0;         // 1: level-triggered
    bool auto_eoi = false;         // ICW4 bit 1
    bool cascaded = true;          // ICW1 bit 1 clear
    bool wants_icw4 = false;       // ICW1 bit 0
    PicInit init = PicInit::kNone;

    bool operator==(const Pic8259&) const = default;

    [[nodiscard]] bool initialised() const { return init == PicInit::kDone; }
    void write_command(std::uint8_t value);  // port 0x20 or 0xa0
    void write_data(std::uint8_t value);     // port 0x21 or 0xa1
};

namespace port {
inline constexpr std::uint16_t kMasterCommand = 0x20;
inline constexpr std::uint16_t kMasterData = 0x21;
inline constexpr std::uint16_t kSlaveCommand = 0xa0;
inline constexpr std::uint16_t kSlaveData = 0xa1;
inline constexpr std::uint16_t kElcr1 = 0x4d0;
inline constexpr std::uint16_t kElcr2 = 0x4d1;
}  // namespace port

struct PicPair {
    static constexpr unsigned kCascadeIr = 2;

    Pic8259 master;
    Pic8259 slave;

    bool operator==(const PicPair&) const = default;

    void out(std::uint16_t at, std::uint8_t value);
    [[nodiscard]] std::uint8_t in(std::uint16_t at) const;  // IMR and ELCR; other ports: 0xff
};

}  // namespace jumpback::interrupts
