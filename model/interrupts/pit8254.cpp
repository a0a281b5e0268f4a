// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/interrupts/pit8254.h"

namespace jumpback::interrupts {

void Pit8254::out(std::uint16_t at, std::uint8_t value) {
    if (at == kControl) {
        const unsigned channel = value >> 6;
        const unsigned access_bits = (value >> 4) & 3U;
        if (channel != 0 || access_bits == 0) {
            return;  // another channel, read-back, or a latch command: nothing changes
        }
        access = static_cast<std::uint8_t>(access_bits);
        mode = (value >> 1) & 7;
        if (mode > 5) {
            mode = static_cast<std::uint8_t>(mode - 4);  // bit 2 does not matter for 2 and 3
        }
        loaded = false;  // counting stops until a count is written
        low_byte.reset();
        return;
    }
    if (at != kChannel0) {
        return;
    }
    std::uint32_t count = value;
    if (access == 2) {
        count = static_cast<std::uint32_t>(value) << 8;
    } else if (access == 3) {
        if (!low_byte) {
            low_byte = value;
            return;
        }
        count = *low_byte | (static_cast<std::uint32_t>(value) << 8);
        low_byte.reset();
    }
    reload = count == 0 ? 65536 : count;
    loaded = true;
}

}  // namespace jumpback::interrupts
