// SPDX-License-Identifier: GPL-2.0-or-later
//
// An I/O APIC: its redirection table entries (RTEs), and what writes and EOIs do to them. Source:
// Intel 82093AA datasheet; fields as in struct IO_APIC_route_entry, arch/x86/include/asm/io_apic.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace jumpback::interrupts {

enum class DeliveryMode : std::uint8_t {
    kFixed = 0,
    kLowest = 1,
    kSmi = 2,
    kNmi = 4,
    kInit = 5,
    kExtInt = 7,
};

// A redirection table entry, 64 bits as read from the chip.
struct Rte {
    std::uint64_t raw = kMasked;

    static constexpr std::uint64_t kLogical = 1U << 11;
    static constexpr std::uint64_t kSendPending = 1U << 12;  // delivery status, read-only
    static constexpr std::uint64_t kActiveLow = 1U << 13;
    static constexpr std::uint64_t kRemoteIrr = 1U << 14;  // read-only
    static constexpr std::uint64_t kLevel = 1U << 15;
    static constexpr std::uint64_t kMasked = 1U << 16;
    static constexpr std::uint64_t kStatus = kSendPending | kRemoteIrr;
    static constexpr std::uint32_t kLowWritable = 0x1ffff & ~static_cast<std::uint32_t>(kStatus);

    [[nodiscard]] constexpr std::uint8_t vector() const {
        return static_cast<std::uint8_t>(raw & 0xff);
    }
    [[nodiscard]] constexpr DeliveryMode delivery_mode() const {
        return static_cast<DeliveryMode>((raw >> 8) & 7);
    }
    [[nodiscard]] constexpr bool logical() const { return (raw & kLogical) != 0; }
    [[nodiscard]] constexpr bool remote_irr() const { return (raw & kRemoteIrr) != 0; }
    [[nodiscard]] constexpr bool level() const { return (raw & kLevel) != 0; }
    [[nodiscard]] constexpr bool masked() const { return (raw & kMasked) != 0; }
    // destid_0_7
    [[nodiscard]] constexpr std::uint32_t destination() const {
        return static_cast<std::uint32_t>(raw >> 56);
    }
    // virt_destid_8_14: bits 8 to 14 of the APIC id, since 5.11 (6.1 in this project's catalogue)
    [[nodiscard]] constexpr std::uint32_t virtual_destination() const {
        return static_cast<std::uint32_t>(raw >> 49) & 0x7f;
    }
    [[nodiscard]] constexpr std::uint32_t low() const { return static_cast<std::uint32_t>(raw); }
    [[nodiscard]] constexpr std::uint32_t high() const {
        return static_cast<std::uint32_t>(raw >> 32);
    }
    constexpr void set(std::uint64_t bit, bool on) { raw = on ? raw | bit : raw & ~bit; }
    bool operator==(const Rte&) const = default;
};

struct IoApic {
    std::uint32_t id = 0;          // 4 bits
    std::uint32_t version = 0x20;  // from 0x20 on there is an EOI register
    // What of an RTE's upper half can be written: the 82093AA has the destination only, QEMU all.
    std::uint32_t high_writable = 0xff000000;
    std::vector<Rte> pins = std::vector<Rte>(24);

    bool operator==(const IoApic&) const = default;

    // Pins that do not exist read as 0 and take no writes.
    [[nodiscard]] Rte read(std::size_t pin) const { return pin < pins.size() ? pins[pin] : Rte{0}; }
    // Status bits keep what the chip says. An entry that becomes edge-triggered loses its remote
    // IRR: __eoi_ioapic_pin() depends on that where there is no EOI register.
    void write_low(std::size_t pin, std::uint32_t value);
    void write_high(std::size_t pin, std::uint32_t value);
    // EOI register, or a broadcast of a LAPIC: ends level-triggered interrupts of that vector.
    void eoi(std::uint8_t vector);
};

}  // namespace jumpback::interrupts
