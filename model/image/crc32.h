// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's crc32_le (lib/crc32.c): reflected polynomial 0xedb88320 without the inversions that
// zip's CRC-32 has before and after.
#pragma once

#include <cstdint>

#include "model/image/bytes.h"

namespace jumpback::swsusp {

// Continues from `seed` (the kernel starts an image at 0) over `bytes`.
[[nodiscard]] std::uint32_t crc32_le(std::uint32_t seed, ByteView bytes);

}  // namespace jumpback::swsusp
