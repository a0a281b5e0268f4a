// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernels whose sources the model was read from, and short ways to write traces.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "model/jump/judge.h"

namespace jumpback::jump::test {

inline const std::vector<KernelVersion> kVersions{{5, 10}, {6, 1}, {6, 12}, {7, 2}, {7, 3}};

inline std::vector<Kernel> kernels() {
    std::vector<Kernel> out;
    for (const KernelVersion version : kVersions) {
        for (const Arch arch : {Arch::x86_64, Arch::i386}) {
            out.push_back({version, arch, {}});
        }
    }
    return out;
}

inline std::vector<Step> steps_of(const ExpectedTrace& expected) {
    std::vector<Step> out;
    for (const ExpectedStep& row : expected.steps) {
        out.push_back(row.step);
    }
    return out;
}

inline Trace correct(const Kernel& kernel, const Scenario& scenario) {
    return as_trace(expected_trace(kernel, scenario), kernel.version);
}

inline std::size_t place_of(const Trace& trace, Step step) {
    const auto found = std::find_if(trace.steps.begin(), trace.steps.end(),
                                    [&](const TraceStep& row) { return row.step == step; });
    EXPECT_NE(found, trace.steps.end()) << info(step).id;
    return static_cast<std::size_t>(found - trace.steps.begin());
}

inline Trace without(Trace trace, Step step) {
    std::erase_if(trace.steps, [&](const TraceStep& row) { return row.step == step; });
    return trace;
}

}  // namespace jumpback::jump::test
