// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a kernel was seen to do, or should do, between the entry of kernel_kexec() and its return.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/jump/steps.h"

namespace jumpback::jump {

// Negative errno values that kernel_kexec() returns by itself (include/uapi/asm-generic).
inline constexpr int kBusy = -16;     // -EBUSY
inline constexpr int kInvalid = -22;  // -EINVAL
// What a failing step returns unless the caller says otherwise. It is none of the two above, so an
// error that is dropped or replaced shows.
inline constexpr int kScriptedError = -5;  // -EIO

enum class Branch : std::uint8_t { jump, plain };  // image->preserve_context or not

// One way through kernel_kexec(). `failing`: the step that does not succeed. take_lock: somebody
// holds the lock. find_image: nothing is loaded.
struct Scenario {
    Branch branch = Branch::jump;
    std::optional<Step> failing;
    int error = kScriptedError;
    bool operator==(const Scenario&) const = default;
};
// "jump", "jump, suspend-devices fails", "plain".
std::string to_string(const Scenario& scenario);

struct TraceStep {
    Step step = Step::other;
    int result = 0;  // of a step that can fail: 0 or a negative errno
    std::optional<std::uint32_t> argument;
    std::string symbol;  // the name that was called; empty: the model's own, or no call
    bool operator==(const TraceStep&) const = default;
};

struct Trace {
    std::vector<TraceStep> steps;
    std::optional<int> returned;  // nothing: the function never returned
};

}  // namespace jumpback::jump
