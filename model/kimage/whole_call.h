// SPDX-License-Identifier: GPL-2.0-or-later
//
// A call of kexec_load from its first check to its return, and where in the kernel each check is.
// Behind check_load() come the control pages (kimage_alloc_init(), machine_kexec_prepare()) and
// then the segments' bytes (kimage_load_segment()); of what can go wrong there, this says what the
// call alone decides. Whether there is enough free memory is the allocator's to say: builder.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "model/kimage/segment_checks.h"

namespace jumpback::kimage {

// `unreadable_buffer`: the first segment of whose buffer not all bufsz bytes can be read.
LoadVerdict check_whole_call(const LoadRules& rules, const KernelSetup& setup,
                             const LoadConditions& conditions, const LoadCall& call,
                             std::optional<std::size_t> unreadable_buffer = std::nullopt);

// The segment that makes every frame a destination, so that no control page can ever be had: of
// length 0 at address 0, where LoadRules::inclusive_ranges.
std::optional<std::size_t> covers_all_memory(const LoadRules& rules,
                                             std::span<const Segment> segments);

// The kernel's function that makes a check, "sanity_check_segment_list()"; empty for kNone.
std::string function_of(Check check, const LoadRules& rules, bool compat = false);

}  // namespace jumpback::kimage
