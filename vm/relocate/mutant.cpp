// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/mutant.h"

#include <algorithm>
#include <array>

namespace jumpback::relocate_check {
namespace {

constexpr std::byte kNop{0x90};
constexpr std::byte kTwoByteOpcode{0x0f};

void flip_bit(std::byte& byte, std::uint64_t bit) { byte ^= std::byte{1} << bit; }

bool is_between(std::byte byte, unsigned first, unsigned last) {
    const unsigned value = std::to_integer<unsigned>(byte);
    return value >= first && value <= last;
}

// The place of the opcode byte that tells instructions apart: the one behind 0f, if that is there.
std::uint64_t main_opcode(const Instruction& instruction, const std::vector<std::byte>& bytes) {
    const std::uint64_t at = instruction.opcode;
    return bytes[at] == kTwoByteOpcode && at + 1 < bytes.size() ? at + 1 : at;
}

// Changes `bytes`; false if this kind does not fit the instruction.
class Mutator {
  public:
    Mutator(Random& random, const Instruction& instruction, std::vector<std::byte>& bytes)
        : random_(random), instruction_(instruction), bytes_(bytes) {}

    bool apply(MutationKind kind) {
        switch (kind) {
            case MutationKind::kNop:
                std::fill(bytes_.begin(), bytes_.end(), kNop);
                return true;
            case MutationKind::kOpcodeBit:
                flip_bit(bytes_[main_opcode(instruction_, bytes_)], random_.below(8));
                return true;
            case MutationKind::kModrmBit:
                return modrm_bit();
            case MutationKind::kNumberBit:
                return number_bit();
            case MutationKind::kNumberByOne:
                return number_by_one();
            case MutationKind::kRegister:
                return another_register();
            case MutationKind::kCondition:
                return other_condition();
            case MutationKind::kRep:
                return without_rep();
        }
        return false;
    }

  private:
    bool modrm_bit() {
        if (instruction_.modrm == 0) {
            return false;
        }
        flip_bit(bytes_[instruction_.modrm], random_.below(8));
        return true;
    }

    struct Number {
        std::uint64_t at = 0;
        std::uint64_t size = 0;
    };
    // The immediate or the displacement; one of them at random if there are both.
    Number number() {
        const Number immediate{instruction_.immediate, instruction_.immediate_size};
        const Number displacement{instruction_.displacement, instruction_.displacement_size};
        if (immediate.size == 0 || immediate.at == 0) {
            return displacement;
        }
        if (displacement.size == 0 || displacement.at == 0) {
            return immediate;
        }
        return random_.one_in(2) ? immediate : displacement;
    }
    bool number_bit() {
        const Number chosen = number();
        if (chosen.size == 0 || chosen.at == 0) {
            return false;
        }
        flip_bit(bytes_[chosen.at + random_.below(chosen.size)], random_.below(8));
        return true;
    }
    bool number_by_one() {
        const Number chosen = number();
        if (chosen.size == 0 || chosen.at == 0) {
            return false;
        }
        const bool up = random_.one_in(2);
        for (std::uint64_t at = chosen.at; at < chosen.at + chosen.size; ++at) {
            const unsigned old = std::to_integer<unsigned>(bytes_[at]);
            bytes_[at] = static_cast<std::byte>(up ? old + 1 : old - 1);
            if (old != (up ? 0xffU : 0U)) {
                break;  // no carry
            }
        }
        return true;
    }

    bool another_register() {
        const std::uint64_t other = 1 + random_.below(7);
        if (instruction_.modrm != 0) {
            std::byte& modrm = bytes_[instruction_.modrm];
            const bool direct = is_between(modrm, 0xc0, 0xff);
            const unsigned shift = direct && random_.one_in(2) ? 0 : 3;
            modrm ^= static_cast<std::byte>(other << shift);
            return true;
        }
        std::byte& opcode = bytes_[instruction_.opcode];
        if (is_between(opcode, 0x50, 0x5f) || is_between(opcode, 0xb8, 0xbf)) {  // push, pop, mov
            opcode ^= static_cast<std::byte>(other);
            return true;
        }
        return false;
    }

    bool other_condition() {
        std::byte& opcode = bytes_[main_opcode(instruction_, bytes_)];
        const bool near = bytes_[instruction_.opcode] == kTwoByteOpcode;
        if (!(near ? is_between(opcode, 0x80, 0x8f) : is_between(opcode, 0x70, 0x7f))) {
            return false;
        }
        flip_bit(opcode, 0);
        return true;
    }

    bool without_rep() {
        if (!is_between(bytes_[0], 0xf2, 0xf3)) {
            return false;
        }
        bytes_[0] = kNop;
        return true;
    }

    Random& random_;
    const Instruction& instruction_;
    std::vector<std::byte>& bytes_;
};

}  // namespace

std::string_view name_of(MutationKind kind) {
    switch (kind) {
        case MutationKind::kNop:
            return "taken out";
        case MutationKind::kOpcodeBit:
            return "opcode bit";
        case MutationKind::kModrmBit:
            return "operand bit";
        case MutationKind::kNumberBit:
            return "number bit";
        case MutationKind::kNumberByOne:
            return "number by one";
        case MutationKind::kRegister:
            return "other register";
        case MutationKind::kCondition:
            return "condition";
        case MutationKind::kRep:
            return "without rep";
    }
    return "?";
}

Mutant make_mutant(const Target& target, const std::vector<Instruction>& code, std::uint64_t seed,
                   std::uint64_t index) {
    Random random(seed ^ 0x6d7574616e74, index);  // not the numbers of case `index`
    const Instruction& instruction = code[random.below(code.size())];
    Mutant mutant;
    mutant.index = index;
    mutant.offset = instruction.offset;
    mutant.was = instruction.text();
    const auto first = target.code.blob.begin() + static_cast<std::ptrdiff_t>(instruction.offset);
    mutant.before.assign(first, first + static_cast<std::ptrdiff_t>(instruction.size));
    while (mutant.after.empty() || mutant.after == mutant.before) {
        mutant.kind = static_cast<MutationKind>(random.below(kMutationKinds));
        mutant.after = mutant.before;
        if (!Mutator(random, instruction, mutant.after).apply(mutant.kind)) {
            mutant.after.clear();
        }
    }
    std::vector<std::byte> bytes = mutant.after;
    const auto rest = target.code.blob.begin() +
                      static_cast<std::ptrdiff_t>(instruction.offset + instruction.size);
    bytes.insert(bytes.end(), rest,
                 rest + std::min<std::ptrdiff_t>(16, target.code.blob.end() - rest));
    const Result<Instruction> now = disassemble_one(target, bytes, instruction.offset);
    mutant.is = now && now->size != 0 ? now->text() : "no instruction";
    return mutant;
}

std::shared_ptr<const Target> mutated(const Target& target, const Mutant& mutant) {
    auto changed = std::make_shared<Target>(target);
    std::copy(mutant.after.begin(), mutant.after.end(),
              changed->code.blob.begin() + static_cast<std::ptrdiff_t>(mutant.offset));
    return changed;
}

}  // namespace jumpback::relocate_check
