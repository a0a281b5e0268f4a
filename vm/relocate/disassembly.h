// SPDX-License-Identifier: GPL-2.0-or-later
//
// The instructions of relocate_kernel's code, by Capstone: what a change of its bytes has to know.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/result.h"
#include "vm/relocate/target.h"

namespace jumpback::relocate_check {

struct Instruction {
    std::uint64_t offset = 0;  // in the blob
    std::uint64_t size = 0;    // bytes
    std::string mnemonic;      // "mov", "rep movsq"
    std::string operands;      // "rsp, qword ptr [r8 + 0x800]"
    // Places of its parts, from its first byte; 0: it has none.
    std::uint64_t opcode = 0;  // always there
    std::uint64_t modrm = 0;
    std::uint64_t displacement = 0;
    std::uint64_t displacement_size = 0;
    std::uint64_t immediate = 0;
    std::uint64_t immediate_size = 0;
    // Registers read and written, implicit ones too, by their full names ("rax" for eax and al;
    // "rflags").
    std::vector<std::string> reads;
    std::vector<std::string> writes;
    bool jumps = false;          // jumps, calls and returns
    bool conditional = false;    // of these, those with a condition
    bool writes_memory = false;  // names a memory operand that it writes, or pushes

    [[nodiscard]] std::string text() const {
        return operands.empty() ? mnemonic : mnemonic + " " + operands;
    }
};

// The instructions of the target's code, in order. Error: Capstone cannot be had.
Result<std::vector<Instruction>> disassemble(const Target& target);

// One instruction at the start of `bytes`, as if it stood at link address `address`; an empty text
// if these bytes are none.
Result<Instruction> disassemble_one(const Target& target, std::span<const std::byte> bytes,
                                    std::uint64_t offset);

}  // namespace jumpback::relocate_check
