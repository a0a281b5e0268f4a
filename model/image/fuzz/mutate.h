// SPDX-License-Identifier: GPL-2.0-or-later
//
// Mutation that knows the format: random bytes would end at the signature, the map chain or the
// CRC32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/image/bytes.h"

namespace jumpback::swsusp::fuzz {

// Changes one thing in the image on `disk`, chosen by `seed`: a header field, a map entry, a
// swsusp_info field, a unit's length, a unit's compressed bytes, or what a unit holds
// (decompressed, changed there, compressed again), with interesting values. Mostly repairs the
// header's CRC32 afterwards, so that what lies behind that check is reached. False if there is
// nothing to hold on to (not even a header page).
bool mutate_image(ByteSpan disk, std::uint64_t seed);

}  // namespace jumpback::swsusp::fuzz
