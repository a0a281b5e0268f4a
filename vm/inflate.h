// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/address.h"
#include "model/result.h"

namespace jumpback {

// Unpacks one gzip stream. Error if it is damaged, cut short, or yields more than `limit` bytes.
Result<std::vector<std::byte>> inflate_gzip(std::span<const std::byte> packed, Bytes limit);

}  // namespace jumpback
