// SPDX-License-Identifier: GPL-2.0-or-later
//
// The ways from one kernel to another as lists of named steps, so that a step can be left out,
// moved or replaced, and a difference be traced to the step that should have made it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/interrupts/machine.h"
#include "model/result.h"

namespace jumpback::interrupts {

// One step: a kernel function, or a part of it.
struct Step {
    std::string function;  // the kernel's name
    std::string part;      // "" for all of it, else which register: "LVT0"
    std::string source;    // file in the kernel's tree
    std::function<void(Machine&)> run;

    [[nodiscard]] std::string name() const {
        return part.empty() ? function : function + ": " + part;
    }
};

using Sequence = std::vector<Step>;

enum class Path : std::uint8_t {
    kJump,        // kernel_kexec() with preserve_context, syscore_suspend() to relocate_kernel()
    kReturn,      // syscore_resume() after the jump back; also the end of a hibernation
    kPlainKexec,  // kernel_kexec() without
    kCrash,       // __crash_kexec()
};

// Steps in the order in which they run, which is the reverse of registration for syscore suspend.
// Versions differ in one place: plain kexec masks the 8259s (syscore_shutdown()) since 6.8.
Sequence sequence(Path path, KernelVersion version);

// Copies without, or with changed steps. A name is a step's name, or a function's for all of its
// parts. Error: no such step.
Result<Sequence> without(const Sequence& steps, std::string_view name);
Result<Sequence> moved(const Sequence& steps, std::string_view name, std::string_view before);
Result<Sequence> replaced(const Sequence& steps, std::string_view name,
                          std::function<void(Machine&)> run);
// A step put behind another one.
Result<Sequence> inserted(const Sequence& steps, Step step, std::string_view after);

struct TraceEntry {
    std::string step;
    Hardware after;
};

// Runs all steps. The trace has one entry a step.
std::vector<TraceEntry> run(const Sequence& steps, Machine& machine);

std::string_view name_of(Path path);  // "jump", "return", "plain kexec", "crash"

}  // namespace jumpback::interrupts
