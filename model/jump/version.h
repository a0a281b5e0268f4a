// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which kernel a sequence is expected of: its version as far as the order of steps depends on it,
// its architecture, and the steps that its configuration leaves out.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "model/jump/steps.h"
#include "model/result.h"

namespace jumpback::jump {

// Parses "6.1", "6.1.192" or "6.1.192-jumpback". Fails on anything that does not begin like this.
Result<KernelVersion> parse_version(std::string_view release);
std::string to_string(KernelVersion version);

struct Kernel {
    KernelVersion version;
    Arch arch = Arch::x86_64;
    StepSet left_out;  // steps whose function this configuration does not have

    // arch/x86 runs relocate_kernel from its copy in the control page, and has it invalidate the
    // descriptor tables: x86_64 since 6.14.
    [[nodiscard]] bool relocates_from_copy() const {
        return arch == Arch::x86_64 && version >= KernelVersion{6, 14};
    }
};

}  // namespace jumpback::jump
