// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an address of kernel code is to a trace: part of the traced function, a step of the model, a
// thunk to run through, or a helper that says nothing about the sequence.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/jump/version.h"
#include "model/result.h"
#include "vm/vmlinux.h"

namespace jumpback::sequence {

enum class CodeKind : std::uint8_t {
    inside,       // the traced function, its .cold and .part pieces
    step,         // a function of the model
    thunk,        // run for real: retpolines, return thunks
    transparent,  // returns at once, touches no register: __fentry__, coverage
    helper,       // returns 0 and is no step: printk, page_address, lockdep
    unknown       // any other function, or an address without one
};

struct Code {
    CodeKind kind = CodeKind::unknown;
    jump::Step step = jump::Step::other;
    std::string symbol;  // empty: no symbol holds the address
};

class CodeMap {
  public:
    // Fails if `function` has no symbol.
    static Result<CodeMap> create(const Vmlinux& kernel, std::string_view function);

    [[nodiscard]] Code at(Gva address) const;
    [[nodiscard]] Gva entry() const { return entry_; }
    // "kernel_kexec+0x6e".
    [[nodiscard]] std::string place(Gva address) const;

  private:
    struct Extent {
        Gva start;
        Gva end;  // exclusive
    };
    explicit CodeMap(const Vmlinux& kernel) : kernel_(&kernel) {}
    [[nodiscard]] bool is_inside(Gva address) const;

    const Vmlinux* kernel_;
    Gva entry_;
    std::vector<Extent> extents_;
    std::unordered_map<std::uint64_t, jump::Step> steps_;  // entry of a function -> its step
};

// Steps of the model that this kernel's configuration leaves out: those that an option governs and
// whose function is not in the kernel.
jump::StepSet left_out_steps(const Vmlinux& kernel);

}  // namespace jumpback::sequence
