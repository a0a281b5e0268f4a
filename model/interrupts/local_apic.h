// SPDX-License-Identifier: GPL-2.0-or-later
//
// The local APIC of the CPU that goes on into the next kernel: its registers, and what a write does
// to them. Source: Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller";
// offsets as in arch/x86/include/asm/apicdef.h.
#pragma once

#include <array>
#include <cstdint>

namespace jumpback::interrupts {

// Offsets in the register page, bytes.
enum class LapicReg : std::uint16_t {
    kId = 0x20,
    kVersion = 0x30,
    kTpr = 0x80,
    kLdr = 0xd0,
    kDfr = 0xe0,
    kSpiv = 0xf0,
    kEsr = 0x280,
    kLvtCmci = 0x2f0,
    kLvtTimer = 0x320,
    kLvtThermal = 0x330,
    kLvtPerf = 0x340,
    kLvt0 = 0x350,
    kLvt1 = 0x360,
    kLvtError = 0x370,
    kTmict = 0x380,
    kTdcr = 0x3e0,
};

// How an implementation departs from the manual, as far as the kernel's own sequences can show it.
enum class LapicFlavour : std::uint8_t {
    // Status bits of an LVT are the hardware's own; all LVTs are masked, and stay so, while the
    // APIC is software-disabled.
    kHardware,
    // QEMU's hw/intc/apic.c, 7.2: an LVT keeps every bit that was written (LVT0 then reads 0x5700,
    // not 0x700), software-disabling masks nothing, SPIV has 9 bits, and an APIC that is disabled
    // through APICBASE loses only the SPIV enable bit and still takes writes.
    kQemu,
};

namespace lvt {
inline constexpr std::uint32_t kVector = 0xff;
inline constexpr std::uint32_t kModeMask = 0x700;
inline constexpr std::uint32_t kModeFixed = 0x000;
inline constexpr std::uint32_t kModeNmi = 0x400;
inline constexpr std::uint32_t kModeExtInt = 0x700;
inline constexpr std::uint32_t kSendPending = 1U << 12;  // delivery status, read-only
inline constexpr std::uint32_t kActiveLow = 1U << 13;
inline constexpr std::uint32_t kRemoteIrr = 1U << 14;  // read-only
inline constexpr std::uint32_t kLevel = 1U << 15;
inline constexpr std::uint32_t kMasked = 1U << 16;
inline constexpr std::uint32_t kTimerPeriodic = 1U << 17;
inline constexpr std::uint32_t kTimerDeadline = 1U << 18;
inline constexpr std::uint32_t kTimerMode = kTimerPeriodic | kTimerDeadline;
inline constexpr std::uint32_t kStatus = kSendPending | kRemoteIrr;  // no part of the settings
}  // namespace lvt

inline constexpr std::uint32_t kSpivEnabled = 1U << 8;
inline constexpr std::uint32_t kSpivFocusDisabled = 1U << 9;
inline constexpr std::uint32_t kSpivDirectedEoi = 1U << 12;
inline constexpr std::uint32_t kVersionDirectedEoi = 1U << 24;  // LVR: SPIV bit 12 exists
inline constexpr std::uint64_t kApicBaseBsp = 1U << 8;
inline constexpr std::uint64_t kApicBaseX2 = 1U << 10;
inline constexpr std::uint64_t kApicBaseEnabled = 1U << 11;
inline constexpr std::uint64_t kApicBaseAddress = 0xfffff000;  // what the kernel may change of it

// Plain registers: tests and captures set them as they are. Software's access is read() and
// write().
struct LocalApic {
    LapicFlavour flavour = LapicFlavour::kHardware;
    std::uint64_t apicbase = 0xfee00000 | kApicBaseEnabled | kApicBaseBsp;  // MSR 0x1b
    std::uint32_t id = 0;  // APIC id << 24; in x2APIC mode the id itself
    std::uint32_t version = 0x50014;
    std::uint32_t tpr = 0;
    std::uint32_t ldr = 0;
    std::uint32_t dfr = 0xffffffff;
    std::uint32_t spiv = 0xff;
    std::uint32_t esr = 0;
    std::uint32_t lvt_cmci = lvt::kMasked;
    std::uint32_t lvt_timer = lvt::kMasked;
    std::uint32_t lvt_thermal = lvt::kMasked;
    std::uint32_t lvt_perf = lvt::kMasked;
    std::uint32_t lvt0 = lvt::kMasked;
    std::uint32_t lvt1 = lvt::kMasked;
    std::uint32_t lvt_error = lvt::kMasked;
    std::uint32_t tmict = 0;
    std::uint32_t tdcr = 0;

    bool operator==(const LocalApic&) const = default;

    // As the bus sees it. LVTs beyond max_lvt() take no writes. On hardware a page whose APIC is
    // disabled through APICBASE is not there: reads give all ones, writes go nowhere.
    [[nodiscard]] std::uint32_t read(LapicReg reg) const;
    void write(LapicReg reg, std::uint32_t value);
    // WRMSR of IA32_APIC_BASE. Clearing the enable bit loses the registers' content on hardware
    // (SDM, "Disabling the Local APIC"): they then hold their values after reset.
    void write_apicbase(std::uint64_t value);

    [[nodiscard]] bool globally_enabled() const { return (apicbase & kApicBaseEnabled) != 0; }
    [[nodiscard]] bool software_enabled() const { return (spiv & kSpivEnabled) != 0; }
    [[nodiscard]] bool x2apic() const { return (apicbase & kApicBaseX2) != 0; }
    // arch/x86/kernel/apic/apic.c: lapic_get_maxlvt(); the highest LVT index.
    [[nodiscard]] unsigned max_lvt() const { return (version >> 16) & 0xff; }
    // read_apic_id()
    [[nodiscard]] std::uint32_t apic_id() const { return x2apic() ? id : id >> 24; }

  private:
    void write_lvt(std::uint32_t& entry, std::uint32_t value, std::uint32_t writable);
    void write_spiv(std::uint32_t value);
    [[nodiscard]] std::array<std::uint32_t*, 7> lvts();
};

}  // namespace jumpback::interrupts
