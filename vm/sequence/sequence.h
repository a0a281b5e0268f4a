// SPDX-License-Identifier: GPL-2.0-or-later
//
// The sequence that a real kernel's code makes: its kernel_kexec() and machine_kexec(), taken from
// vmlinux and run with every call answered by script, once for each step that can fail.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/jump/judge.h"
#include "model/result.h"
#include "vm/sequence/tracer.h"

namespace jumpback::sequence {

// The kernel as the model wants to know it: version, architecture, steps that its configuration
// leaves out. Fails if `release` is no kernel's.
Result<jump::Kernel> model_of(const Vmlinux& kernel, const std::string& release);

class Sequence {
  public:
    // Finds the functions and the bit preserve_context of struct kimage. Errors name the file and
    // what is missing in it. `kernel` must outlive the object. `patches` change the mapped copy.
    static Result<Sequence> create(const Vmlinux& kernel, std::span<const Patch> patches = {});

    // What the kernel is, as the model wants to know it.
    [[nodiscard]] const jump::Kernel& kernel() const { return kernel_; }
    [[nodiscard]] const std::string& release() const { return release_; }
    [[nodiscard]] ImageBit preserve_bit() const { return preserve_; }

    [[nodiscard]] TracedRun run(const jump::Scenario& scenario);
    [[nodiscard]] TracedRun run_machine(jump::Branch branch);

  private:
    Sequence(jump::Kernel kernel, std::string release, Variables variables, CodeMap code,
             CodeMap machine_code, KernelCpu cpu);
    Status find_preserve_bit(const std::string& path);

    jump::Kernel kernel_;
    std::string release_;
    Variables variables_;
    CodeMap code_;
    CodeMap machine_code_;
    KernelCpu cpu_;
    ImageBit preserve_;
};

}  // namespace jumpback::sequence
