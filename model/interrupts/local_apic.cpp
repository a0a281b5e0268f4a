// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/local_apic.h"

namespace jumpback::interrupts {
namespace {

// Bits that software may set, by kind of LVT (SDM, figure "Local Vector Table").
constexpr std::uint32_t kTimerBits = lvt::kVector | lvt::kMasked | lvt::kTimerMode;
constexpr std::uint32_t kErrorBits = lvt::kVector | lvt::kMasked;
constexpr std::uint32_t kSensorBits = lvt::kVector | lvt::kModeMask | lvt::kMasked;
constexpr std::uint32_t kPinBits = kSensorBits | lvt::kActiveLow | lvt::kLevel;

}  // namespace

std::array<std::uint32_t*, 7> LocalApic::lvts() {
    return {&lvt_cmci, &lvt_timer, &lvt_thermal, &lvt_perf, &lvt0, &lvt1, &lvt_error};
}

std::uint32_t LocalApic::read(LapicReg reg) const {
    if (!globally_enabled() && flavour == LapicFlavour::kHardware) {
        return 0xffffffff;
    }
    switch (reg) {
        case LapicReg::kId:
            return id;
        case LapicReg::kVersion:
            return version;
        case LapicReg::kTpr:
            return tpr;
        case LapicReg::kLdr:
            return ldr;
        case LapicReg::kDfr:
            return x2apic() ? 0xffffffff : dfr;  // native_apic_msr_read(): there is none
        case LapicReg::kSpiv:
            return spiv;
        case LapicReg::kEsr:
            return esr;
        case LapicReg::kLvtCmci:
            return lvt_cmci;
        case LapicReg::kLvtTimer:
            return lvt_timer;
        case LapicReg::kLvtThermal:
            return lvt_thermal;
        case LapicReg::kLvtPerf:
            return lvt_perf;
        case LapicReg::kLvt0:
            return lvt0;
        case LapicReg::kLvt1:
            return lvt1;
        case LapicReg::kLvtError:
            return lvt_error;
        case LapicReg::kTmict:
            return tmict;
        case LapicReg::kTdcr:
            return tdcr;
    }
    return 0;
}

void LocalApic::write_lvt(std::uint32_t& entry, std::uint32_t value, std::uint32_t writable) {
    if (flavour == LapicFlavour::kQemu) {
        entry = value;
        return;
    }
    entry = (value & writable) | (entry & lvt::kStatus);
    if (!software_enabled()) {
        entry |= lvt::kMasked;  // cannot be cleared while the APIC is disabled
    }
}

void LocalApic::write_spiv(std::uint32_t value) {
    if (flavour == LapicFlavour::kQemu) {
        spiv = value & 0x1ff;
        return;
    }
    std::uint32_t writable = lvt::kVector | kSpivEnabled | kSpivFocusDisabled;
    if ((version & kVersionDirectedEoi) != 0) {
        writable |= kSpivDirectedEoi;
    }
    spiv = value & writable;
    if (!software_enabled()) {
        for (std::uint32_t* entry : lvts()) {
            *entry |= lvt::kMasked;
        }
    }
}

void LocalApic::write(LapicReg reg, std::uint32_t value) {
    if (!globally_enabled() && flavour == LapicFlavour::kHardware) {
        return;
    }
    switch (reg) {
        case LapicReg::kVersion:
            break;
        case LapicReg::kId:  // native_apic_msr_write(): not written in x2APIC mode
            id = x2apic() ? id : value & 0xff000000;
            break;
        case LapicReg::kLdr:
            ldr = x2apic() ? ldr : value & 0xff000000;
            break;
        case LapicReg::kDfr:
            dfr = x2apic() ? dfr : value | 0x0fffffff;
            break;
        case LapicReg::kTpr:
            tpr = value & 0xff;
            break;
        case LapicReg::kSpiv:
            write_spiv(value);
            break;
        case LapicReg::kEsr:  // a write fetches the errors since the last one: none in this model
            esr = 0;
            break;
        case LapicReg::kLvtCmci:
            if (max_lvt() >= 6) {
                write_lvt(lvt_cmci, value, kSensorBits);
            }
            break;
        case LapicReg::kLvtTimer:
            write_lvt(lvt_timer, value, kTimerBits);
            break;
        case LapicReg::kLvtThermal:
            if (max_lvt() >= 5) {
                write_lvt(lvt_thermal, value, kSensorBits);
            }
            break;
        case LapicReg::kLvtPerf:
            if (max_lvt() >= 4) {
                write_lvt(lvt_perf, value, kSensorBits);
            }
            break;
        case LapicReg::kLvt0:
            write_lvt(lvt0, value, kPinBits);
            break;
        case LapicReg::kLvt1:
            write_lvt(lvt1, value, kPinBits);
            break;
        case LapicReg::kLvtError:
            write_lvt(lvt_error, value, kErrorBits);
            break;
        case LapicReg::kTmict:
            tmict = value;
            break;
        case LapicReg::kTdcr:
            tdcr = value & 0xb;
            break;
    }
}

void LocalApic::write_apicbase(std::uint64_t value) {
    const bool was_enabled = globally_enabled();
    apicbase = value;
    if (globally_enabled() || !was_enabled) {
        return;
    }
    if (flavour == LapicFlavour::kQemu) {
        spiv &= ~kSpivEnabled;
        return;
    }
    LocalApic after_reset;
    after_reset.apicbase = value;
    after_reset.id = id;
    after_reset.version = version;
    *this = after_reset;
}

}  // namespace jumpback::interrupts
