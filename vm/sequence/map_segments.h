// SPDX-License-Identifier: GPL-2.0-or-later
//
// A vmlinux's segments at their link addresses, in an emulated CPU's memory.
#pragma once

#include <cstdint>

#include "model/result.h"
#include "vm/vmlinux.h"

struct uc_struct;

namespace jumpback::sequence {

// Pages are readable, writable and executable: nothing here depends on permissions. `last`: the
// highest address of the CPU. Error: segments that no kernel has, or that cannot be mapped.
Status map_segments(uc_struct* uc, const Vmlinux& kernel, std::uint64_t last);

}  // namespace jumpback::sequence
