// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small random changes of single instructions: what the check has to notice.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vm/relocate/disassembly.h"
#include "vm/relocate/random.h"
#include "vm/relocate/target.h"

namespace jumpback::relocate_check {

enum class MutationKind : std::uint8_t {
    kNop,          // the instruction taken out
    kOpcodeBit,    // one bit of an opcode byte
    kModrmBit,     // one bit of the byte that names operands
    kNumberBit,    // one bit of an immediate or a displacement
    kNumberByOne,  // the same, plus or minus one
    kRegister,     // another register
    kCondition,    // a conditional jump the other way round
    kRep,          // without its rep prefix
};
inline constexpr unsigned kMutationKinds = 8;
std::string_view name_of(MutationKind kind);

struct Mutant {
    std::uint64_t index = 0;
    MutationKind kind = MutationKind::kNop;
    std::uint64_t offset = 0;       // of the instruction, in the blob
    std::vector<std::byte> before;  // its bytes
    std::vector<std::byte> after;   // as many
    std::string was;                // disassembled
    std::string is;                 // the first instruction that now stands there
};

// Mutant `index` of `seed`: always the same one for the same code. Every instruction is as likely
// as any other.
Mutant make_mutant(const Target& target, const std::vector<Instruction>& code, std::uint64_t seed,
                   std::uint64_t index);

std::shared_ptr<const Target> mutated(const Target& target, const Mutant& mutant);

}  // namespace jumpback::relocate_check
