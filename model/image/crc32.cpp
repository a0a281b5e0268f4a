// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/crc32.h"

#include <libdeflate.h>

namespace jumpback::swsusp {

std::uint32_t crc32_le(std::uint32_t seed, ByteView bytes) {
    if (bytes.empty()) {
        return seed;  // libdeflate takes a null pointer as "give me the initial value"
    }
    // libdeflate (carry-less multiplication where the CPU has it) inverts on the way in and out.
    return ~libdeflate_crc32(~seed, bytes.data(), bytes.size());
}

}  // namespace jumpback::swsusp
