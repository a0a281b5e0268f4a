// SPDX-License-Identifier: GPL-2.0-or-later
//
// All that a sequence check asks of one kernel, in one go and in a child process, so that a damaged
// or hostile vmlinux cannot take the caller down.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/jump/judge.h"
#include "model/result.h"
#include "vm/sequence/sequence.h"

namespace jumpback::sequence {

struct Survey {
    jump::Kernel kernel;
    std::string release;
    ImageBit preserve_bit;
    std::vector<std::pair<jump::Scenario, TracedRun>> runs;        // of kernel_kexec()
    std::vector<std::pair<jump::Branch, TracedRun>> machine_runs;  // of machine_kexec()
};

// Errors as of Sequence::create(), or that the emulated CPU died.
Result<Survey> survey(const Vmlinux& kernel, std::span<const Patch> patches = {});

}  // namespace jumpback::sequence
