// SPDX-License-Identifier: GPL-2.0-or-later
//
// The order of steps that a correct kernel makes, by version, with the way back out of every
// failure. Mirrors kernel_kexec() (kernel/kexec_core.c) and machine_kexec()
// (arch/x86/kernel/machine_kexec_{32,64}.c) of Linux 5.10 to 7.3.
#pragma once

#include <optional>
#include <vector>

#include "model/jump/trace.h"
#include "model/jump/version.h"

namespace jumpback::jump {

struct ExpectedStep {
    Step step = Step::other;
    int result = 0;
    // Between two versions whose sources were read, and which differ in this step: may be there.
    bool optional = false;
};

struct ExpectedTrace {
    std::vector<ExpectedStep> steps;
    std::optional<int> returned;  // nothing: never returns (plain kexec leaves this kernel)
};

// kernel_kexec(). A failing step that this branch or version does not have never fails.
ExpectedTrace expected_trace(const Kernel& kernel, const Scenario& scenario);

// machine_kexec(), whose steps cannot fail.
ExpectedTrace expected_machine_trace(const Kernel& kernel, Branch branch);

// Every scenario that the kernel can be in, both branches, the one without failure first.
std::vector<Scenario> scenarios(const Kernel& kernel);

// The trace of a kernel that does exactly this, with the arguments a correct one passes. Optional
// steps are taken.
Trace as_trace(const ExpectedTrace& expected, KernelVersion version);

// Whether a kernel of this version, in this configuration, makes the step at all.
bool has_step(const Kernel& kernel, Step step);

}  // namespace jumpback::jump
