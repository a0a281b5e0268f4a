// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/pic8259.h"

namespace jumpback::interrupts {
namespace {

// ELCR bits that chipsets hard-wire to edge: IRQ 0, 1, 2 and 8, 13.
constexpr std::uint8_t kElcr1Writable = 0xf8;
constexpr std::uint8_t kElcr2Writable = 0xde;

}  // namespace

void Pic8259::write_command(std::uint8_t value) {
    if ((value & 0x10) != 0) {  // ICW1
        wants_icw4 = (value & 0x01) != 0;
        cascaded = (value & 0x02) == 0;
        imr = 0;
        isr = 0;
        irr = static_cast<std::uint8_t>(irr & elcr);  // the edge sense circuit is reset
        auto_eoi = false;
        init = PicInit::kIcw2;
        return;
    }
    if ((value & 0x08) != 0) {  // OCW3 chooses what a read gives: no state of interest
        return;
    }
    // OCW2. The kernel sends specific EOIs, and these only while it handles interrupts.
    const unsigned operation = value >> 5;
    if (operation == 3) {
        isr = static_cast<std::uint8_t>(isr & ~(1U << (value & 7)));
    } else if (operation == 1) {
        isr = static_cast<std::uint8_t>(isr & (isr - 1U));  // the highest priority in service
    }
}

void Pic8259::write_data(std::uint8_t value) {
    switch (init) {
        case PicInit::kNone:
        case PicInit::kDone:
            imr = value;  // OCW1
            break;
        case PicInit::kIcw2:
            vector_base = value & 0xf8;
            if (cascaded) {
                init = PicInit::kIcw3;
            } else {
                init = wants_icw4 ? PicInit::kIcw4 : PicInit::kDone;
            }
            break;
        case PicInit::kIcw3:
            init = wants_icw4 ? PicInit::kIcw4 : PicInit::kDone;
            break;
        case PicInit::kIcw4:
            auto_eoi = (value & 0x02) != 0;
            init = PicInit::kDone;
            break;
    }
}

void PicPair::out(std::uint16_t at, std::uint8_t value) {
    switch (at) {
        case port::kMasterCommand:
            master.write_command(value);
            break;
        case port::kMasterData:
            master.write_data(value);
            break;
        case port::kSlaveCommand:
            slave.write_command(value);
            break;
        case port::kSlaveData:
            slave.write_data(value);
            break;
        case port::kElcr1:
            master.elcr = value & kElcr1Writable;
            break;
        case port::kElcr2:
            slave.elcr = value & kElcr2Writable;
            break;
        default:
            break;
    }
}

std::uint8_t PicPair::in(std::uint16_t at) const {
    switch (at) {
        case port::kMasterData:
            return master.imr;
        case port::kSlaveData:
            return slave.imr;
        case port::kElcr1:
            return master.elcr;
        case port::kElcr2:
            return slave.elcr;
        default:
            return 0xff;
    }
}

}  // namespace jumpback::interrupts
