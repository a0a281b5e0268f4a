// SPDX-License-Identifier: GPL-2.0-or-later
//
// The miniature kernels that CMake builds beside the tests (mini_kernel.c).
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "vm/sequence/sequence.h"

namespace jumpback::sequence::test {

inline std::string mini_path(const std::string& name, const std::string& arch = "x86_64") {
    return std::string(MINI_FOLDER) + "/" + name + "-" + arch;
}

// A miniature kernel and its sequence, with one life.
struct Mini {
    explicit Mini(const std::string& name, const std::string& arch = "x86_64",
                  std::span<const Patch> patches = {})
        : vmlinux(Vmlinux::open(mini_path(name, arch)).value()),
          sequence(Sequence::create(vmlinux, patches).value()) {}

    jump::Judgement judge(const jump::Scenario& scenario) {
        run = sequence.run(scenario);
        return jump::judge(sequence.kernel(), scenario, run.trace);
    }

    Vmlinux vmlinux;
    Sequence sequence;
    TracedRun run;
};

}  // namespace jumpback::sequence::test
