// SPDX-License-Identifier: GPL-2.0-or-later
//
// Capstone for the few things wanted here: one instruction's text, where a descriptor table is
// loaded from, and which instruction of a run of code made a given memory access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "model/relocate/cpu_state.h"
#include "model/result.h"
#include "vm/vmlinux.h"

namespace jumpback::unicorn {

struct Instruction {
    std::uint64_t address = 0;
    std::size_t size = 0;  // bytes
    std::string text;      // Intel syntax
    bool repeats = false;  // rep prefix: one instruction, many rounds
};

class Disassembler {
  public:
    // Error: Capstone cannot be had.
    static Result<Disassembler> create(Arch arch);

    // The instruction at the start of `bytes`; nothing if they are none.
    [[nodiscard]] std::optional<Instruction> at(std::span<const std::byte> bytes,
                                                std::uint64_t address) const;

    // Looks through straight-line code at `address` for an lgdt from a place that is known: a
    // constant, one relative to rip, or `[register + offset]` after `mov register, constant`. The
    // address that the descriptor is read from.
    [[nodiscard]] std::optional<Gva> loaded_gdt(std::span<const std::byte> bytes,
                                                std::uint64_t address) const;

    // The first instruction from the start of `bytes` on, up to the first jump, that accesses
    // `target` when the registers stand as in `cpu`. Unicorn tells only the start of the
    // translated block in which an access failed.
    [[nodiscard]] std::optional<Instruction> accessing(std::span<const std::byte> bytes,
                                                       std::uint64_t address,
                                                       const relocate::CpuState& cpu,
                                                       std::uint64_t target) const;

  private:
    struct Close {
        void operator()(void* handle) const;
    };
    Disassembler(std::size_t handle, Arch arch);

    std::shared_ptr<void> handle_;
    Arch arch_;
};

}  // namespace jumpback::unicorn
