// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/disassembler.h"

#include <capstone/capstone.h>

#include <array>

namespace jumpback::unicorn {

namespace {

// One decoded instruction that is freed with its owner.
class Decoded {
  public:
    explicit Decoded(csh handle) : handle_(handle), insn_(cs_malloc(handle)) {}
    Decoded(const Decoded&) = delete;
    Decoded& operator=(const Decoded&) = delete;
    Decoded(Decoded&&) = delete;
    Decoded& operator=(Decoded&&) = delete;
    ~Decoded() {
        if (insn_ != nullptr) {
            cs_free(insn_, 1);
        }
    }
    // Decodes the next instruction and moves on; false where the bytes are none.
    bool next(std::span<const std::byte>& bytes, std::uint64_t& address) {
        const auto* code = reinterpret_cast<const std::uint8_t*>(bytes.data());
        std::size_t left = bytes.size();
        if (insn_ == nullptr || !cs_disasm_iter(handle_, &code, &left, &address, insn_)) {
            return false;
        }
        bytes = bytes.last(left);
        return true;
    }
    [[nodiscard]] const cs_insn& insn() const { return *insn_; }
    [[nodiscard]] const cs_x86& x86() const { return insn_->detail->x86; }
    [[nodiscard]] bool in_group(unsigned group) const {
        return cs_insn_group(handle_, insn_, group);
    }

  private:
    csh handle_;
    cs_insn* insn_;
};

Instruction described(const Decoded& decoded) {
    const cs_insn& insn = decoded.insn();
    Instruction out;
    out.address = insn.address;
    out.size = insn.size;
    out.text = insn.mnemonic;
    if (insn.op_str[0] != '\0') {
        out.text += std::string(" ") + insn.op_str;
    }
    const std::uint8_t prefix = decoded.x86().prefix[0];
    out.repeats = prefix == X86_PREFIX_REP || prefix == X86_PREFIX_REPNE;
    return out;
}

struct RegisterName {
    x86_reg wide;    // 64 bits
    x86_reg narrow;  // 32 bits
};
// In the order of relocate::Gpr.
constexpr std::array<RegisterName, relocate::kGprs> kRegisters = {{
    {X86_REG_RAX, X86_REG_EAX},
    {X86_REG_RCX, X86_REG_ECX},
    {X86_REG_RDX, X86_REG_EDX},
    {X86_REG_RBX, X86_REG_EBX},
    {X86_REG_RSP, X86_REG_ESP},
    {X86_REG_RBP, X86_REG_EBP},
    {X86_REG_RSI, X86_REG_ESI},
    {X86_REG_RDI, X86_REG_EDI},
    {X86_REG_R8, X86_REG_R8D},
    {X86_REG_R9, X86_REG_R9D},
    {X86_REG_R10, X86_REG_R10D},
    {X86_REG_R11, X86_REG_R11D},
    {X86_REG_R12, X86_REG_R12D},
    {X86_REG_R13, X86_REG_R13D},
    {X86_REG_R14, X86_REG_R14D},
    {X86_REG_R15, X86_REG_R15D},
}};

std::uint64_t value_of(x86_reg name, const relocate::CpuState& cpu, std::uint64_t next) {
    if (name == X86_REG_RIP || name == X86_REG_EIP) {
        return next;
    }
    for (std::size_t i = 0; i < kRegisters.size(); ++i) {
        if (kRegisters[i].wide == name) {
            return cpu.gpr[i];
        }
        if (kRegisters[i].narrow == name) {
            return cpu.gpr[i] & 0xffffffff;
        }
    }
    return 0;
}

bool touches(const Decoded& decoded, Arch arch, const relocate::CpuState& cpu,
             std::uint64_t target) {
    const cs_insn& insn = decoded.insn();
    const std::uint64_t width = arch == Arch::x86_64 ? 8 : 4;
    const std::uint64_t mask = arch == Arch::x86_64 ? ~std::uint64_t{0} : 0xffffffff;
    const std::uint64_t stack = cpu.gpr[relocate::kRsp];
    switch (insn.id) {
        case X86_INS_PUSH:
        case X86_INS_PUSHF:
        case X86_INS_PUSHFD:
        case X86_INS_PUSHFQ:
        case X86_INS_CALL:
            if (target == ((stack - width) & mask)) {
                return true;
            }
            break;
        case X86_INS_POP:
        case X86_INS_POPF:
        case X86_INS_POPFD:
        case X86_INS_POPFQ:
        case X86_INS_RET:
            if (target == stack) {
                return true;
            }
            break;
        default:
            break;
    }
    const cs_x86& x86 = decoded.x86();
    for (std::uint8_t i = 0; i < x86.op_count; ++i) {
        const cs_x86_op& operand = x86.operands[i];
        if (operand.type != X86_OP_MEM || insn.id == X86_INS_LEA) {
            continue;
        }
        const std::uint64_t index = value_of(operand.mem.index, cpu, 0);
        const std::uint64_t where = value_of(operand.mem.base, cpu, insn.address + insn.size) +
                                    index * static_cast<std::uint64_t>(operand.mem.scale) +
                                    static_cast<std::uint64_t>(operand.mem.disp);
        if (target - (where & mask) < operand.size) {
            return true;
        }
    }
    return false;
}

}  // namespace

Disassembler::Disassembler(std::size_t handle, Arch arch)
    : handle_(new csh(handle), Close()), arch_(arch) {}

void Disassembler::Close::operator()(void* handle) const {
    auto* capstone = static_cast<csh*>(handle);
    cs_close(capstone);
    delete capstone;
}

Result<Disassembler> Disassembler::create(Arch arch) {
    csh handle = 0;
    const cs_err opened =
        cs_open(CS_ARCH_X86, arch == Arch::x86_64 ? CS_MODE_64 : CS_MODE_32, &handle);
    if (opened != CS_ERR_OK) {
        return Error{"Capstone", cs_strerror(opened)};
    }
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    return Disassembler(handle, arch);
}

std::optional<Instruction> Disassembler::at(std::span<const std::byte> bytes,
                                            std::uint64_t address) const {
    Decoded decoded(*static_cast<csh*>(handle_.get()));
    if (!decoded.next(bytes, address)) {
        return std::nullopt;
    }
    return described(decoded);
}

std::optional<Gva> Disassembler::loaded_gdt(std::span<const std::byte> bytes,
                                            std::uint64_t address) const {
    Decoded decoded(*static_cast<csh*>(handle_.get()));
    x86_reg held = X86_REG_INVALID;
    std::uint64_t constant = 0;
    while (decoded.next(bytes, address)) {
        const cs_x86& x86 = decoded.x86();
        if (decoded.insn().id == X86_INS_LGDT && x86.operands[0].type == X86_OP_MEM) {
            const x86_op_mem& memory = x86.operands[0].mem;
            const auto displacement = static_cast<std::uint64_t>(memory.disp);
            if (memory.base == X86_REG_INVALID) {
                return Gva{arch_ == Arch::x86_64 ? displacement : displacement & 0xffffffff};
            }
            if (memory.base == X86_REG_RIP) {
                return Gva{address + displacement};  // of the next instruction
            }
            if (memory.base == held) {
                return Gva{constant + displacement};
            }
        }
        if (x86.op_count == 2 && x86.operands[0].type == X86_OP_REG) {
            if (decoded.insn().id == X86_INS_MOV && x86.operands[1].type == X86_OP_IMM) {
                held = x86.operands[0].reg;
                constant = static_cast<std::uint64_t>(x86.operands[1].imm);
            } else if (x86.operands[0].reg == held) {
                held = X86_REG_INVALID;
            }
        }
    }
    return std::nullopt;
}

std::optional<Instruction> Disassembler::accessing(std::span<const std::byte> bytes,
                                                   std::uint64_t address,
                                                   const relocate::CpuState& cpu,
                                                   std::uint64_t target) const {
    Decoded decoded(*static_cast<csh*>(handle_.get()));
    while (decoded.next(bytes, address)) {
        if (touches(decoded, arch_, cpu, target)) {
            return described(decoded);
        }
        if (decoded.in_group(CS_GRP_JUMP) || decoded.in_group(CS_GRP_RET) ||
            decoded.in_group(CS_GRP_CALL)) {
            return std::nullopt;
        }
    }
    return std::nullopt;
}

}  // namespace jumpback::unicorn
