// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/disassembly.h"

#include <capstone/capstone.h>

#include <algorithm>
#include <array>
#include <memory>

namespace jumpback::relocate_check {
namespace {

// "eax", "ax", "al", "ah" -> "rax".
std::string full_name(std::string name) {
    static const std::array<std::array<std::string_view, 4>, 8> kLegacy{{{"eax", "ax", "al", "ah"},
                                                                         {"ebx", "bx", "bl", "bh"},
                                                                         {"ecx", "cx", "cl", "ch"},
                                                                         {"edx", "dx", "dl", "dh"},
                                                                         {"esi", "si", "sil", ""},
                                                                         {"edi", "di", "dil", ""},
                                                                         {"ebp", "bp", "bpl", ""},
                                                                         {"esp", "sp", "spl", ""}}};
    for (const auto& names : kLegacy) {
        if (std::find(names.begin(), names.end(), name) != names.end()) {
            return "r" + std::string(names[1]);
        }
    }
    if (name == "eflags") {
        return "rflags";
    }
    const bool numbered = name.size() >= 3 && name[0] == 'r' && name[1] >= '0' && name[1] <= '9';
    if (numbered && (name.back() == 'd' || name.back() == 'w' || name.back() == 'b')) {
        name.pop_back();
    }
    return name;
}

class Decoder {
  public:
    static Result<Decoder> open(bool wide) {
        Decoder decoder;
        if (cs_open(CS_ARCH_X86, wide ? CS_MODE_64 : CS_MODE_32, &decoder.handle_) != CS_ERR_OK) {
            decoder.handle_ = 0;
            return Error{"Capstone", "cannot be opened"};
        }
        cs_option(decoder.handle_, CS_OPT_DETAIL, CS_OPT_ON);
        return decoder;
    }
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;
    Decoder(Decoder&& other) noexcept : handle_(std::exchange(other.handle_, 0)) {}
    Decoder& operator=(Decoder&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Decoder() {
        if (handle_ != 0) {
            cs_close(&handle_);
        }
    }

    // Of size 0 if there is no instruction.
    [[nodiscard]] Instruction one(std::span<const std::byte> bytes, std::uint64_t offset,
                                  std::uint64_t address) const {
        Instruction out;
        out.offset = offset;
        cs_insn* raw = nullptr;
        const std::size_t count =
            cs_disasm(handle_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                      address, 1, &raw);
        if (count == 0) {
            return out;
        }
        const std::unique_ptr<cs_insn, void (*)(cs_insn*)> owner(
            raw, [](cs_insn* insn) { cs_free(insn, 1); });
        fill(*raw, out);
        return out;
    }

  private:
    Decoder() = default;

    void fill(const cs_insn& raw, Instruction& out) const {
        const cs_x86& x86 = raw.detail->x86;
        out.size = raw.size;
        out.mnemonic = raw.mnemonic;
        out.operands = raw.op_str;
        out.modrm = x86.encoding.modrm_offset;
        out.displacement = x86.encoding.disp_offset;
        out.displacement_size = x86.encoding.disp_size;
        out.immediate = x86.encoding.imm_offset;
        out.immediate_size = x86.encoding.imm_size;
        for (const std::uint8_t prefix : x86.prefix) {
            out.opcode += prefix != 0 ? 1 : 0;
        }
        out.opcode += x86.rex != 0 ? 1 : 0;
        registers(raw, out);
        out.jumps = cs_insn_group(handle_, &raw, CS_GRP_JUMP) ||
                    cs_insn_group(handle_, &raw, CS_GRP_CALL) ||
                    cs_insn_group(handle_, &raw, CS_GRP_RET) ||
                    cs_insn_group(handle_, &raw, CS_GRP_IRET);
        out.conditional = cs_insn_group(handle_, &raw, CS_GRP_JUMP) &&
                          out.mnemonic.front() == 'j' && out.mnemonic != "jmp";
        for (unsigned operand = 0; operand < x86.op_count; ++operand) {
            const cs_x86_op& op = x86.operands[operand];
            out.writes_memory |= op.type == X86_OP_MEM && (op.access & CS_AC_WRITE) != 0;
        }
        out.writes_memory |= raw.id == X86_INS_PUSH || raw.id == X86_INS_PUSHF ||
                             raw.id == X86_INS_PUSHFQ || raw.id == X86_INS_PUSHFD ||
                             raw.id == X86_INS_CALL;
    }

    void registers(const cs_insn& raw, Instruction& out) const {
        cs_regs reads;
        cs_regs writes;
        std::uint8_t read_count = 0;
        std::uint8_t write_count = 0;
        if (cs_regs_access(handle_, &raw, reads, &read_count, writes, &write_count) != CS_ERR_OK) {
            return;
        }
        for (unsigned at = 0; at < read_count; ++at) {
            out.reads.push_back(full_name(cs_reg_name(handle_, reads[at])));
        }
        for (unsigned at = 0; at < write_count; ++at) {
            out.writes.push_back(full_name(cs_reg_name(handle_, writes[at])));
        }
    }

    csh handle_ = 0;
};

bool wide(const Target& target) { return target.code.arch == jumpback::Arch::x86_64; }

}  // namespace

Result<std::vector<Instruction>> disassemble(const Target& target) {
    const Result<Decoder> decoder = Decoder::open(wide(target));
    if (!decoder) {
        return decoder.error();
    }
    std::vector<Instruction> out;
    const std::span<const std::byte> code = std::span(target.code.blob).first(target.code_bytes);
    std::uint64_t at = 0;
    while (at < code.size()) {
        Instruction instruction = decoder->one(code.subspan(at), at, target.link_address(at));
        // A symbol begins an instruction, whatever comes before it.
        for (const CodeSymbol& symbol : target.symbols) {
            if (symbol.offset > at && symbol.offset < at + instruction.size) {
                instruction.size = 0;
            }
        }
        if (instruction.size == 0) {
            ++at;  // filling
            continue;
        }
        at += instruction.size;
        out.push_back(std::move(instruction));
    }
    return out;
}

Result<Instruction> disassemble_one(const Target& target, std::span<const std::byte> bytes,
                                    std::uint64_t offset) {
    const Result<Decoder> decoder = Decoder::open(wide(target));
    if (!decoder) {
        return decoder.error();
    }
    return decoder->one(bytes, offset, target.link_address(offset));
}

}  // namespace jumpback::relocate_check
