// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/registers.h"

#include <type_traits>

namespace jumpback::interrupts {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};
constexpr std::uint64_t kNone = 0;  // compared never: the hardware's own
constexpr std::uint64_t kLvtSettings = kAll & ~std::uint64_t{lvt::kStatus};
constexpr std::uint64_t kRteSettings = kAll & ~Rte::kStatus;

// Calls visit(name, field, settings) for every register. HardwareType: Hardware, or const of it.
template <typename HardwareType, typename Visitor>
void each(HardwareType& hw, Visitor&& visit) {
    auto& lapic = hw.lapic;
    visit("LAPIC APICBASE", lapic.apicbase, kAll);
    visit("LAPIC ID", lapic.id, kAll);
    visit("LAPIC version", lapic.version, kAll);
    visit("LAPIC TPR", lapic.tpr, kAll);
    visit("LAPIC LDR", lapic.ldr, kAll);
    visit("LAPIC DFR", lapic.dfr, kAll);
    visit("LAPIC SPIV", lapic.spiv, kAll);
    visit("LAPIC ESR", lapic.esr, kNone);
    visit("LAPIC LVTCMCI", lapic.lvt_cmci, kLvtSettings);
    visit("LAPIC LVTT", lapic.lvt_timer, kLvtSettings);
    visit("LAPIC LVTTHMR", lapic.lvt_thermal, kLvtSettings);
    visit("LAPIC LVTPC", lapic.lvt_perf, kLvtSettings);
    visit("LAPIC LVT0", lapic.lvt0, kLvtSettings);
    visit("LAPIC LVT1", lapic.lvt1, kLvtSettings);
    visit("LAPIC LVTERR", lapic.lvt_error, kLvtSettings);
    visit("LAPIC TMICT", lapic.tmict, kAll);
    visit("LAPIC TDCR", lapic.tdcr, kAll);
    for (std::size_t apic = 0; apic < hw.ioapics.size(); ++apic) {
        auto& ioapic = hw.ioapics[apic];
        const std::string prefix = "IOAPIC " + std::to_string(apic) + " ";
        visit(prefix + "ID", ioapic.id, kAll);
        visit(prefix + "version", ioapic.version, kAll);
        for (std::size_t pin = 0; pin < ioapic.pins.size(); ++pin) {
            visit(prefix + "RTE " + std::to_string(pin), ioapic.pins[pin].raw, kRteSettings);
        }
    }
    const auto pic = [&](const std::string& prefix, auto& chip) {
        visit(prefix + "IMR", chip.imr, kAll);
        visit(prefix + "IRR", chip.irr, kNone);
        visit(prefix + "ISR", chip.isr, kNone);
        visit(prefix + "vector base", chip.vector_base, kAll);
        visit(prefix + "ELCR", chip.elcr, kAll);
        visit(prefix + "AEOI", chip.auto_eoi, kAll);
    };
    pic("8259 master ", hw.pics.master);
    pic("8259 slave ", hw.pics.slave);
    visit("PIT mode", hw.pit.mode, kAll);
    visit("PIT reload", hw.pit.reload, kNone);  // cannot be read back
    visit("PIT counting", hw.pit.loaded, kAll);
    visit("HPET present", hw.hpet.present, kAll);
    visit("HPET enabled", hw.hpet.enabled, kAll);
    visit("HPET legacy", hw.hpet.legacy, kAll);
    visit("HPET timer 0", hw.hpet.timer0_enabled, kAll);
    visit("IMCR", hw.imcr_apic, kAll);
}

std::string mode_name(std::uint64_t mode) {
    static constexpr const char* kNames[] = {"Fixed", "lowest priority", "SMI",   "reserved", "NMI",
                                             "INIT",  "reserved",        "ExtINT"};
    return kNames[mode & 7];
}

std::string lvt_words(std::string_view name, std::uint64_t value) {
    std::string out = (value & lvt::kMasked) != 0 ? "masked" : "unmasked";
    const bool pin = name == "LAPIC LVT0" || name == "LAPIC LVT1";
    if (name != "LAPIC LVTT" && name != "LAPIC LVTERR") {
        out += ", " + mode_name(value >> 8);
    }
    if (name == "LAPIC LVTT") {
        out += (value & lvt::kTimerDeadline) != 0   ? ", TSC deadline"
               : (value & lvt::kTimerPeriodic) != 0 ? ", periodic"
                                                    : ", one-shot";
    }
    if (pin) {
        out += (value & lvt::kLevel) != 0 ? ", level" : ", edge";
        out += (value & lvt::kActiveLow) != 0 ? ", active low" : ", active high";
    }
    return out + ", vector " + hex(value & lvt::kVector);
}

std::string rte_words(std::uint64_t value) {
    const Rte entry{value};
    std::string out = entry.masked() ? "masked" : "unmasked";
    out += ", " + mode_name(static_cast<std::uint64_t>(entry.delivery_mode()));
    out += entry.level() ? ", level" : ", edge";
    out += (value & Rte::kActiveLow) != 0 ? ", active low" : ", active high";
    out += ", vector " + hex(entry.vector());
    out += entry.logical() ? ", logical " : ", APIC id ";
    out += hex(entry.destination() | (entry.virtual_destination() << 8));
    return entry.remote_irr() ? out + ", remote IRR" : out;
}

std::string spiv_words(std::uint64_t value) {
    const bool on = (value & kSpivEnabled) != 0;
    return (on ? "enabled, vector " : "software-disabled, vector ") + hex(value & lvt::kVector);
}

std::string apicbase_words(std::uint64_t value) {
    if ((value & kApicBaseEnabled) == 0) {
        return "disabled";
    }
    return (value & kApicBaseX2) != 0 ? "enabled, x2APIC" : "enabled, xAPIC";
}

}  // namespace

std::vector<Register> registers(const Hardware& hardware) {
    std::vector<Register> out;
    each(hardware, [&out](std::string name, const auto& field, std::uint64_t settings) {
        out.push_back({std::move(name), static_cast<std::uint64_t>(field), settings});
    });
    return out;
}

Result<std::uint64_t> get(const Hardware& hardware, std::string_view name) {
    for (const Register& reg : registers(hardware)) {
        if (reg.name == name) {
            return reg.value;
        }
    }
    return Error{"register '" + std::string(name) + "'", "there is none of that name"};
}

Status set(Hardware& hardware, std::string_view name, std::uint64_t value) {
    bool found = false;
    each(hardware, [&](const std::string& other, auto& field, std::uint64_t) {
        if (other == name) {
            using Field = std::remove_reference_t<decltype(field)>;
            if constexpr (std::is_same_v<Field, bool>) {
                field = value != 0;
            } else {
                field = static_cast<Field>(value);
            }
            found = true;
        }
    });
    if (!found) {
        return Error{"register '" + std::string(name) + "'", "there is none of that name"};
    }
    if (name.ends_with("vector base")) {
        // A base other than 0 is what initialisation leaves.
        Pic8259& chip =
            name.starts_with("8259 master") ? hardware.pics.master : hardware.pics.slave;
        chip.init = value != 0 ? PicInit::kDone : PicInit::kNone;
    }
    return success();
}

std::string meaning(std::string_view name, std::uint64_t value) {
    if (name.starts_with("LAPIC LVT")) {
        return lvt_words(name, value);
    }
    if (name.find(" RTE ") != std::string_view::npos) {
        return rte_words(value);
    }
    if (name == "LAPIC SPIV") {
        return spiv_words(value);
    }
    if (name == "LAPIC APICBASE") {
        return apicbase_words(value);
    }
    if (name == "8259 master IMR") {
        return (value & 1) != 0 ? "IR0 masked" : "IR0 open";
    }
    return "";
}

std::string hex(std::uint64_t value) {
    static constexpr const char* kDigits = "0123456789abcdef";
    std::string digits;
    do {
        digits.insert(digits.begin(), kDigits[value & 0xf]);
        value >>= 4;
    } while (value != 0);
    return "0x" + digits;
}

}  // namespace jumpback::interrupts
