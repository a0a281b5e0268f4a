// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/kernel_cpu.h"

#include <unicorn/unicorn.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "vm/sequence/map_segments.h"
#include "vm/text.h"

namespace jumpback::sequence {
namespace {

struct Layout {
    Gva stack;  // lowest byte
    Gva scratch;
    Gva sentinel;            // the return address of the outermost call; nothing is mapped there
    std::uint64_t word = 8;  // bytes of a pushed return address
    std::uint64_t last = ~std::uint64_t{0};  // highest address
};
// Places where neither the kernel image nor its per-CPU template ever is.
constexpr Layout kLayout64{Gva{0xffffc90000000000}, Gva{0xffffc90000100000},
                           Gva{0xffffc90000200000}, 8, ~std::uint64_t{0}};
constexpr Layout kLayout32{Gva{0xf0000000}, Gva{0xf0100000}, Gva{0xf0200000}, 4, 0xffffffff};
constexpr std::uint64_t kStackSize = 16 * kPageSize;

constexpr std::uint64_t kFlagsReset = 0x2;       // EFLAGS bit 1 is always set
constexpr std::uint64_t kFlagInterrupt = 0x200;  // EFLAGS.IF
// What a register holds that a callee may have used: no valid pointer, no small number.
constexpr std::uint64_t kClobbered = 0x0bad0bad0bad0bad;

constexpr std::array kArguments64{UC_X86_REG_RDI, UC_X86_REG_RSI, UC_X86_REG_RDX};
constexpr std::array kArguments32{UC_X86_REG_EAX, UC_X86_REG_EDX, UC_X86_REG_ECX};
constexpr std::array kCallerSaved64{UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX,
                                    UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,
                                    UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11};
constexpr std::array kCallerSaved32{UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX};
constexpr std::array kCalleeSaved64{UC_X86_REG_RBX, UC_X86_REG_RBP, UC_X86_REG_R12,
                                    UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15};
constexpr std::array kCalleeSaved32{UC_X86_REG_EBX, UC_X86_REG_EBP, UC_X86_REG_ESI, UC_X86_REG_EDI};

std::uint64_t page_down(std::uint64_t address) { return address & ~(kPageSize - 1); }

}  // namespace

struct KernelCpu::State {
    struct Saved {
        std::uint64_t address;
        std::array<std::byte, 16> bytes;
        std::size_t length;
    };

    ~State() {
        if (uc != nullptr) {
            uc_close(uc);
        }
    }
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    State(State&&) = delete;
    State& operator=(State&&) = delete;

    [[nodiscard]] std::uint64_t get(int reg) const {
        std::uint64_t value = 0;
        uc_reg_read(uc, reg, &value);
        return value;
    }
    void set(int reg, std::uint64_t value) const { uc_reg_write(uc, reg, &value); }
    [[nodiscard]] int pc() const { return is64 ? UC_X86_REG_RIP : UC_X86_REG_EIP; }
    [[nodiscard]] int sp() const { return is64 ? UC_X86_REG_RSP : UC_X86_REG_ESP; }

    // Bytes that the next call() puts back.
    void save(std::uint64_t address, std::size_t length) {
        Saved old{address, {}, std::min<std::size_t>(length, sizeof(Saved::bytes))};
        if (uc_mem_read(uc, address, old.bytes.data(), old.length) == UC_ERR_OK) {
            saved.push_back(old);
        }
    }
    void undo() {
        for (auto at = saved.rbegin(); at != saved.rend(); ++at) {
            uc_mem_write(uc, at->address, at->bytes.data(), at->length);
        }
        saved.clear();
        const std::vector<std::byte> zeros(kStackSize);
        uc_mem_write(uc, layout.stack.raw, zeros.data(), kStackSize);
        uc_mem_write(uc, layout.scratch.raw, zeros.data(), kScratchSize);
    }
    // For the data of the function, zero until it writes there.
    bool map_page(std::uint64_t address) {
        const std::uint64_t page = page_down(address);
        return page != layout.sentinel.raw && ++pages_added <= kMostPages &&
               uc_mem_map(uc, page, kPageSize, UC_PROT_READ | UC_PROT_WRITE) == UC_ERR_OK;
    }

    static void accessed(uc_engine* /*uc*/, uc_mem_type type, std::uint64_t address, int size,
                         std::int64_t value, void* user) {
        auto* const self = static_cast<State*>(user);
        const auto length = static_cast<unsigned>(size);
        if (type == UC_MEM_WRITE) {
            self->save(address, length);
        }
        if (self->callback) {
            self->callback(
                {Gva{address}, length, type == UC_MEM_WRITE, static_cast<std::uint64_t>(value)});
        }
    }
    static bool missing(uc_engine* /*uc*/, uc_mem_type /*type*/, std::uint64_t address, int size,
                        std::int64_t /*value*/, void* user) {
        auto* const self = static_cast<State*>(user);
        const std::uint64_t last = address + static_cast<std::uint64_t>(size) - 1;
        bool mapped = self->map_page(address);
        if (page_down(last) != page_down(address)) {
            mapped = self->map_page(last) || mapped;
        }
        self->save(address, static_cast<std::size_t>(size));  // accessed() could not read it
        return mapped;
    }

    // A sound function touches a handful of pages outside its kernel.
    static constexpr unsigned kMostPages = 1024;

    uc_engine* uc = nullptr;
    unsigned pages_added = 0;
    bool is64 = true;
    Layout layout = kLayout64;
    std::vector<Saved> saved;
    std::function<void(const Access&)> callback;
};

namespace {

bool inside(const Vmlinux& kernel, const Patch& patch) {
    return std::any_of(kernel.segments().begin(), kernel.segments().end(), [&](const Segment& s) {
        return patch.address >= s.virt && patch.bytes.size() <= s.memory_size.raw &&
               patch.address.raw - s.virt.raw <= s.memory_size.raw - patch.bytes.size();
    });
}

}  // namespace

KernelCpu::KernelCpu(std::unique_ptr<State> state) : state_(std::move(state)) {}
KernelCpu::KernelCpu(KernelCpu&&) noexcept = default;
KernelCpu& KernelCpu::operator=(KernelCpu&&) noexcept = default;
KernelCpu::~KernelCpu() = default;

Result<KernelCpu> KernelCpu::create(const Vmlinux& kernel, std::span<const Patch> patches) {
    auto state = std::make_unique<State>();
    state->is64 = kernel.arch() == Arch::x86_64;
    state->layout = state->is64 ? kLayout64 : kLayout32;
    if (uc_open(UC_ARCH_X86, state->is64 ? UC_MODE_64 : UC_MODE_32, &state->uc) != UC_ERR_OK) {
        return Error{"Unicorn", "cannot make an x86 CPU"};
    }
    if (const Status mapped = map_segments(state->uc, kernel, state->layout.last); !mapped) {
        return mapped.error();
    }
    for (const auto& [place, size] : {std::pair{state->layout.stack, kStackSize},
                                      std::pair{state->layout.scratch, kScratchSize}}) {
        if (uc_mem_map(state->uc, place.raw, size, UC_PROT_READ | UC_PROT_WRITE) != UC_ERR_OK) {
            return Error{kernel.path(),
                         "has a segment at " + hex(place.raw) + ", where the stack has to be"};
        }
    }
    for (const Patch& patch : patches) {
        if (!inside(kernel, patch)) {
            return Error{kernel.path(),
                         "patch at " + hex(patch.address.raw) + " is outside the kernel's image"};
        }
        uc_mem_write(state->uc, patch.address.raw, patch.bytes.data(), patch.bytes.size());
    }
    uc_hook hook = 0;
    uc_hook_add(state->uc, &hook, UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE,
                reinterpret_cast<void*>(&State::accessed), state.get(), 1, 0);
    uc_hook_add(state->uc, &hook, UC_HOOK_MEM_READ_UNMAPPED | UC_HOOK_MEM_WRITE_UNMAPPED,
                reinterpret_cast<void*>(&State::missing), state.get(), 1, 0);
    return KernelCpu(std::move(state));
}

void KernelCpu::call(Gva function, std::span<const std::uint64_t> arguments) {
    State& s = *state_;
    s.undo();
    const auto clear = [&](const auto& registers) {
        for (const int reg : registers) {
            s.set(reg, kClobbered);
        }
    };
    if (s.is64) {
        clear(kCallerSaved64);
        clear(kCalleeSaved64);
    } else {
        clear(kCallerSaved32);
        clear(kCalleeSaved32);
    }
    for (std::size_t i = 0; i < std::min<std::size_t>(arguments.size(), kArguments64.size()); ++i) {
        s.set(s.is64 ? kArguments64.at(i) : kArguments32.at(i), arguments[i]);
    }
    const std::uint64_t top = s.layout.stack.raw + kStackSize - kPageSize;
    uc_mem_write(s.uc, top, &s.layout.sentinel.raw, s.layout.word);
    s.set(s.sp(), top);
    s.set(UC_X86_REG_EFLAGS, kFlagsReset | kFlagInterrupt);
    s.set(s.pc(), function.raw);
}

StepResult KernelCpu::step() {
    const uc_err error =
        uc_emu_start(state_->uc, instruction().raw, state_->layout.sentinel.raw, 0, 1);
    switch (error) {
        case UC_ERR_OK:
            return StepResult::done;
        case UC_ERR_FETCH_UNMAPPED:
        case UC_ERR_FETCH_PROT:
            return StepResult::no_code;
        default:
            return StepResult::exception;
    }
}

Gva KernelCpu::instruction() const { return Gva{state_->get(state_->pc())}; }
bool KernelCpu::has_returned() const { return instruction() == state_->layout.sentinel; }
void KernelCpu::jump(Gva address) { state_->set(state_->pc(), address.raw); }

Gva KernelCpu::return_address() const {
    std::uint64_t address = 0;
    uc_mem_read(state_->uc, state_->get(state_->sp()), &address, state_->layout.word);
    return Gva{address};
}

void KernelCpu::return_untouched() {
    const Gva target = return_address();
    state_->set(state_->sp(), state_->get(state_->sp()) + state_->layout.word);
    jump(target);
}

void KernelCpu::return_from_callee(std::uint64_t value) {
    if (state_->is64) {
        for (const int reg : kCallerSaved64) {
            state_->set(reg, kClobbered);
        }
        state_->set(UC_X86_REG_RAX, value);
    } else {
        for (const int reg : kCallerSaved32) {
            state_->set(reg, kClobbered);
        }
        state_->set(UC_X86_REG_EAX, value);
    }
    return_untouched();
}

std::uint64_t KernelCpu::argument(unsigned index) const {
    return state_->get(state_->is64 ? kArguments64.at(index) : kArguments32.at(index));
}

std::int32_t KernelCpu::return_value() const {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(state_->get(UC_X86_REG_EAX)));
}

std::uint64_t KernelCpu::repeat_count() const {
    return state_->get(state_->is64 ? UC_X86_REG_RCX : UC_X86_REG_ECX);
}

bool KernelCpu::interrupts_on() const {
    return (state_->get(UC_X86_REG_EFLAGS) & kFlagInterrupt) != 0;
}

void KernelCpu::set_interrupts(bool on) {
    const std::uint64_t flags = state_->get(UC_X86_REG_EFLAGS) & ~kFlagInterrupt;
    state_->set(UC_X86_REG_EFLAGS, flags | (on ? kFlagInterrupt : 0));
}

std::vector<std::byte> KernelCpu::read(Gva address, std::size_t length) const {
    std::vector<std::byte> bytes(length);
    if (uc_mem_read(state_->uc, address.raw, bytes.data(), length) != UC_ERR_OK) {
        std::fill(bytes.begin(), bytes.end(), std::byte{0});
    }
    return bytes;
}

void KernelCpu::write(Gva address, std::uint64_t value, std::size_t length) {
    state_->save(address.raw, length);
    uc_mem_write(state_->uc, address.raw, &value, std::min(length, sizeof(value)));
}

void KernelCpu::on_access(std::function<void(const Access&)> callback) {
    state_->callback = std::move(callback);
}

Arch KernelCpu::arch() const { return state_->is64 ? Arch::x86_64 : Arch::i386; }
Gva KernelCpu::scratch() const { return state_->layout.scratch; }

}  // namespace jumpback::sequence
