// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vm/extents.h"

namespace jumpback {

// Copies the extents of `from` to the same offsets of `to` with up to `workers` threads (the
// calling one included; 0: as many as help). Both must hold every extent.
void copy_extents(std::byte* to, std::span<const std::byte> from,
                  const std::vector<Extent>& extents, unsigned workers = 0);

}  // namespace jumpback
