// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/tick_path.h"

#include <algorithm>

#include "model/interrupts/registers.h"

namespace jumpback::interrupts {
namespace {

using Obstacles = std::vector<Obstacle>;

constexpr std::uint8_t kFirstVector = 0x10;  // vectors below are the processor's own

void wire(Obstacles& out, std::string text) { out.push_back({Where::kWire, std::move(text)}); }

std::string pin_name(const PinRef& at) {
    return "IOAPIC " + std::to_string(at.apic) + " pin " + std::to_string(at.pin);
}

// What keeps any interrupt message or LINT from getting through the local APIC.
void check_lapic(Obstacles& out, const LocalApic& lapic) {
    if (!lapic.globally_enabled()) {
        wire(out, "APICBASE enable bit clear (" + hex(lapic.apicbase) + "): no local APIC");
        return;
    }
    if (!lapic.software_enabled()) {
        wire(out, "SPIV bit 8 clear (" + hex(lapic.spiv) + "): LAPIC software-disabled");
    }
}

void check_imcr(Obstacles& out, const Hardware& hw, const Board& board) {
    if (board.imcr_present && !hw.imcr_apic) {
        wire(out, "IMCR is 0: the board passes INTR by the APICs");
    }
}

void check_lvt0(Obstacles& out, const LocalApic& lapic) {
    const std::uint32_t value = lapic.lvt0;
    if ((value & lvt::kMasked) != 0) {
        wire(out, "LVT0 is masked (" + hex(value) + ")");
    }
    const std::uint32_t mode = value & lvt::kModeMask;
    if (mode == lvt::kModeFixed) {
        // check_timer()'s own "Virtual Wire IRQ" fallback does this, with a vector of its own.
        if ((value & lvt::kVector) < kFirstVector) {
            wire(out, "LVT0 is Fixed with vector " + hex(value & lvt::kVector) + ", not ExtINT");
        }
    } else if (mode != lvt::kModeExtInt) {
        wire(out, "LVT0's delivery mode is neither ExtINT nor Fixed (" + hex(value) + ")");
    }
    if ((value & lvt::kActiveLow) != 0) {
        wire(out, "LVT0 is active low (" + hex(value) + "), INTR is active high");
    }
}

// Whether a message to that entry's destination is taken by this CPU.
bool reaches(const LocalApic& lapic, const Rte& entry) {
    const std::uint32_t to = entry.destination();
    const std::uint32_t wide = to | (entry.virtual_destination() << 8);
    if (!entry.logical()) {
        return wide == lapic.apic_id() || wide == 0xff;
    }
    if (lapic.x2apic()) {  // cluster 0, as the entry has 8 bits
        return (lapic.ldr >> 16) == 0 && (lapic.ldr & to) != 0;
    }
    const std::uint32_t mine = lapic.ldr >> 24;
    if ((lapic.dfr >> 28) == 0xf) {  // flat
        return (mine & to) != 0;
    }
    return (mine >> 4) == (to >> 4) && (mine & to & 0xf) != 0;
}

const IoApic* ioapic_of(const Hardware& hw, const PinRef& at) {
    const bool there = at.apic < hw.ioapics.size() && at.pin < hw.ioapics[at.apic].pins.size();
    return there ? &hw.ioapics[at.apic] : nullptr;
}

void check_destination(Obstacles& out, const LocalApic& lapic, const PinRef& at, const Rte& rte) {
    if (!reaches(lapic, rte)) {
        wire(out,
             pin_name(at) + " is for another CPU (" + hex(rte.raw) + ", this one has " +
                 (rte.logical() ? "LDR " + hex(lapic.ldr) : "APIC id " + hex(lapic.apic_id())) +
                 ")");
    }
}

// Nothing of the pin's content matters to the tick if it is not there at all.
bool pin_exists(Obstacles& out, const Hardware& hw, const PinRef& at) {
    if (ioapic_of(hw, at) == nullptr) {
        wire(out, pin_name(at) + " does not exist");
        return false;
    }
    return true;
}

void check_ext_int_pin(Obstacles& out, const Hardware& hw, const PinRef& at) {
    if (!pin_exists(out, hw, at)) {
        return;
    }
    const Rte rte = ioapic_of(hw, at)->read(at.pin);
    const bool ext_int = rte.delivery_mode() == DeliveryMode::kExtInt;
    if (rte.masked() || !ext_int) {
        std::string text = pin_name(at) + " is " + hex(rte.raw) + ": ";
        text += rte.masked() ? "masked" : "";
        text += rte.masked() && !ext_int ? ", " : "";
        text += ext_int ? "" : "no ExtINT";
        wire(out, std::move(text));
    }
    if ((rte.raw & Rte::kActiveLow) != 0) {
        wire(out, pin_name(at) + " is active low (" + hex(rte.raw) + "), INTR is active high");
    }
    check_destination(out, hw.lapic, at, rte);
}

void check_timer_pin(Obstacles& out, const Hardware& hw, const PinRef& at) {
    if (!pin_exists(out, hw, at)) {
        return;
    }
    const Rte rte = ioapic_of(hw, at)->read(at.pin);
    if (rte.masked()) {
        wire(out, pin_name(at) + " is masked (" + hex(rte.raw) + ")");
    }
    if (rte.delivery_mode() != DeliveryMode::kFixed &&
        rte.delivery_mode() != DeliveryMode::kLowest) {
        wire(out, pin_name(at) + " has a delivery mode without vector (" + hex(rte.raw) + ")");
    } else if (rte.vector() < kFirstVector) {
        wire(out, pin_name(at) + " has vector " + hex(rte.vector()) + ", which is no interrupt's");
    } else if ((rte.vector() >> 4U) <= ((hw.lapic.tpr >> 4U) & 0xf)) {
        wire(out, "TPR " + hex(hw.lapic.tpr) + " holds back vector " + hex(rte.vector()));
    }
    if (rte.level() && rte.remote_irr()) {
        wire(out, pin_name(at) + " waits for an EOI (" + hex(rte.raw) + ")");
    }
    check_destination(out, hw.lapic, at, rte);
}

void check_pic(Obstacles& out, const Pic8259& master) {
    const auto pic = [&out](std::string text) { out.push_back({Where::kPic, std::move(text)}); };
    if (!master.initialised()) {
        pic("8259 master is not initialised");
    } else if (master.vector_base < kFirstVector) {
        // The BIOS's base 8 is right for real mode only.
        pic("8259 master's vector base " + hex(master.vector_base) + " lies among the exceptions");
    }
    if ((master.imr & 1) != 0) {
        pic("8259 master IMR bit 0 set (" + hex(master.imr) + ")");
    }
    if ((master.isr & 1) != 0 && !master.auto_eoi) {
        pic("8259 master ISR bit 0 set: the last tick was not ended");
    }
}

TickSource source_of(const Hardware& hw) {
    if (hw.hpet.replaces_pit()) {
        return hw.hpet.ticks() ? TickSource::kHpet : TickSource::kNone;
    }
    return hw.pit.periodic() ? TickSource::kPit : TickSource::kNone;
}

void check_source(Obstacles& out, const Hardware& hw) {
    if (source_of(hw) != TickSource::kNone) {
        return;
    }
    const auto source = [&](std::string text) { out.push_back({Where::kSource, std::move(text)}); };
    if (hw.hpet.replaces_pit()) {
        source("HPET legacy replacement is on and its timer 0 does not run: the PIT is cut off");
    } else if (!hw.pit.loaded) {
        source("PIT channel 0 not running");
    } else {
        source("PIT channel 0 is in mode " + std::to_string(hw.pit.mode) +
               ": it raises its line once");
    }
}

PathCheck lapic_virtual_wire(const Hardware& hw, const Board& board) {
    PathCheck check{TickPath::kLapicVirtualWire, {}};
    if (!board.intr_on_lint0) {
        wire(check.obstacles, "the 8259's INTR is not wired to LINT0 of this CPU");
    }
    check_lapic(check.obstacles, hw.lapic);
    check_imcr(check.obstacles, hw, board);
    check_lvt0(check.obstacles, hw.lapic);
    return check;
}

PathCheck ioapic_virtual_wire(const Hardware& hw, const Board& board) {
    PathCheck check{TickPath::kIoapicVirtualWire, {}};
    check_lapic(check.obstacles, hw.lapic);
    check_imcr(check.obstacles, hw, board);
    check_ext_int_pin(check.obstacles, hw, *board.intr_pin);
    return check;
}

PathCheck ioapic_direct(const Hardware& hw, const Board& board) {
    PathCheck check{TickPath::kIoapicDirect, {}};
    check_lapic(check.obstacles, hw.lapic);
    check_timer_pin(check.obstacles, hw, *board.pit_pin);
    check_source(check.obstacles, hw);
    return check;
}

// INTR gets to the core past the local APIC: by the IMCR's switch, or because the LAPIC is off and
// LINT0 then is the INTR pin (SDM, "Disabling the Local APIC").
PathCheck pic_mode(const Hardware& hw, const Board& board) {
    PathCheck check{TickPath::kPicMode, {}};
    const bool by_imcr = board.imcr_present && !hw.imcr_apic;
    const bool by_lint0 = board.intr_on_lint0 && !hw.lapic.globally_enabled();
    if (by_imcr || by_lint0) {
        return check;
    }
    if (board.imcr_present) {
        wire(check.obstacles, "IMCR is 1: the board sends INTR to the APICs");
    }
    if (!hw.lapic.globally_enabled()) {
        wire(check.obstacles, "APICBASE enable bit cleared and no PIC mode wire");
    } else if (!board.imcr_present) {
        wire(check.obstacles, "APICBASE enable bit set and no IMCR: no PIC mode");
    }
    return check;
}

}  // namespace

std::string_view name_of(TickPath path) {
    switch (path) {
        case TickPath::kNone:
            return "none";
        case TickPath::kLapicVirtualWire:
            return "LAPIC virtual wire";
        case TickPath::kIoapicVirtualWire:
            return "IOAPIC virtual wire";
        case TickPath::kIoapicDirect:
            return "IOAPIC direct";
        case TickPath::kPicMode:
            return "PIC mode";
    }
    return "";
}

bool PathCheck::open_to_pic() const {
    return std::none_of(obstacles.begin(), obstacles.end(),
                        [](const Obstacle& obstacle) { return obstacle.where == Where::kWire; });
}

TickAnswer can_tick_reach(const Hardware& hardware, const Board& board) {
    TickAnswer out;
    out.source = source_of(hardware);
    out.paths.push_back(lapic_virtual_wire(hardware, board));
    if (board.intr_pin) {
        out.paths.push_back(ioapic_virtual_wire(hardware, board));
    }
    out.paths.push_back(pic_mode(hardware, board));
    for (PathCheck& check : out.paths) {
        check_pic(check.obstacles, hardware.pics.master);
        check_source(check.obstacles, hardware);
    }
    if (board.pit_pin) {
        out.paths.push_back(ioapic_direct(hardware, board));
    }

    const PathCheck* best = nullptr;
    for (const PathCheck& check : out.paths) {
        const bool better = best == nullptr || (check.ticks_now() && !best->ticks_now());
        if (check.open_to_pic() && better) {
            best = &check;
        }
    }
    if (best != nullptr) {
        out.path = best->path;
        out.open_to_pic = true;
        out.ticks_now = best->ticks_now();
        out.obstacles = best->obstacles;
        return out;
    }
    for (const PathCheck& check : out.paths) {
        for (const Obstacle& obstacle : check.obstacles) {
            if (std::find(out.obstacles.begin(), out.obstacles.end(), obstacle) ==
                out.obstacles.end()) {
                out.obstacles.push_back(obstacle);
            }
        }
    }
    return out;
}

}  // namespace jumpback::interrupts
