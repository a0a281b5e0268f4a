// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/engine.h"

#include <algorithm>
#include <array>

#include "model/address.h"
#include "vm/unicorn/src/dirty_tlb.h"

// LeakSanitizer asks for this by name. Unicorn 2.0.1 frees no code bitmap of a page that code was
// written to (qemu/accel/tcg/translate-all.c, build_page_bitmap()): 512 bytes each, for every
// engine.
extern "C" const char* __lsan_default_suppressions();   // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
    return "leak:libunicorn.so\n";
}

namespace jumpback::unicorn {

namespace {

// In the order of relocate::Gpr.
constexpr std::array<int, relocate::kGprs> kGprNames64 = {
    UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX, UC_X86_REG_RSP, UC_X86_REG_RBP,
    UC_X86_REG_RSI, UC_X86_REG_RDI, UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
    UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15};
constexpr std::array<int, 8> kGprNames32 = {UC_X86_REG_EAX, UC_X86_REG_ECX, UC_X86_REG_EDX,
                                            UC_X86_REG_EBX, UC_X86_REG_ESP, UC_X86_REG_EBP,
                                            UC_X86_REG_ESI, UC_X86_REG_EDI};

constexpr unsigned kPageFault = 14;

AccessKind kind_of(uc_mem_type type) {
    switch (type) {
        case UC_MEM_WRITE_UNMAPPED:
        case UC_MEM_WRITE_PROT:
            return AccessKind::kWrite;
        case UC_MEM_FETCH_UNMAPPED:
        case UC_MEM_FETCH_PROT:
            return AccessKind::kFetch;
        default:
            return AccessKind::kRead;
    }
}

}  // namespace

// Unicorn's callbacks, as it wants them.
struct EngineHooks {
    static bool access(uc_engine* /*engine*/, uc_mem_type type, std::uint64_t address, int size,
                       std::int64_t /*value*/, void* self) {
        return static_cast<Engine*>(self)->on_access(type, address, size);
    }
    static void interrupt(uc_engine* /*engine*/, std::uint32_t vector, void* self) {
        static_cast<Engine*>(self)->on_interrupt(vector);
    }
    static void step(uc_engine* /*engine*/, std::uint64_t address, std::uint32_t /*size*/,
                     void* self) {
        const auto* engine = static_cast<Engine*>(self);
        if (engine->tracer_ != nullptr) {
            engine->tracer_->step(address);
        }
    }
    static void write(uc_engine* /*engine*/, uc_mem_type /*type*/, std::uint64_t address, int size,
                      std::int64_t value, void* self) {
        const auto* engine = static_cast<Engine*>(self);
        if (engine->tracer_ != nullptr) {
            engine->tracer_->write(address, static_cast<std::uint64_t>(size),
                                   static_cast<std::uint64_t>(value));
        }
    }
};

Engine::Engine(uc_engine* engine, Arch arch) : engine_(engine), arch_(arch) {}

Engine::~Engine() { uc_close(engine_); }

Result<std::unique_ptr<Engine>> Engine::open(Arch arch) {
    uc_engine* handle = nullptr;
    const uc_err opened =
        uc_open(UC_ARCH_X86, arch == Arch::x86_64 ? UC_MODE_64 : UC_MODE_32, &handle);
    if (opened != UC_ERR_OK) {
        return Error{"Unicorn", uc_strerror(opened)};
    }
    std::unique_ptr<Engine> engine(new Engine(handle, arch));
    const Status hooked = engine->add_hooks();
    if (!hooked) {
        return hooked.error();
    }
    return engine;
}

Status Engine::add_hooks() {
    uc_hook access = 0;
    uc_hook interrupt = 0;
    // No hook on code, blocks or good accesses: each makes every run many times slower.
    uc_err error = uc_hook_add(engine_, &access, UC_HOOK_MEM_INVALID,
                               reinterpret_cast<void*>(&EngineHooks::access), this, 1, 0);
    if (error == UC_ERR_OK) {
        error = uc_hook_add(engine_, &interrupt, UC_HOOK_INTR,
                            reinterpret_cast<void*>(&EngineHooks::interrupt), this, 1, 0);
    }
    if (error != UC_ERR_OK) {
        return Error{"Unicorn hooks", uc_strerror(error)};
    }
    return success();
}

Status Engine::add_trace_hooks() {
    uc_hook step = 0;
    uc_hook write_hook = 0;
    uc_err error = uc_hook_add(engine_, &step, UC_HOOK_CODE,
                               reinterpret_cast<void*>(&EngineHooks::step), this, 1, 0);
    if (error == UC_ERR_OK) {
        error = uc_hook_add(engine_, &write_hook, UC_HOOK_MEM_WRITE,
                            reinterpret_cast<void*>(&EngineHooks::write), this, 1, 0);
    }
    if (error == UC_ERR_OK && has_translated()) {
        // What was translated before knows nothing of the hooks. It costs a sweep over all of
        // Unicorn's buffer, about 100 ms.
        error = uc_ctl_flush_tlb(engine_);
    }
    if (error != UC_ERR_OK) {
        return Error{"Unicorn trace hooks", uc_strerror(error)};
    }
    has_traced_ = true;
    return success();
}

Status Engine::map(std::uint64_t address, std::byte* memory, std::uint64_t bytes, bool executable) {
    const std::uint32_t permissions =
        executable ? static_cast<std::uint32_t>(UC_PROT_ALL) : UC_PROT_READ | UC_PROT_WRITE;
    const uc_err error = uc_mem_map_ptr(engine_, address, bytes, permissions, memory);
    if (error != UC_ERR_OK) {
        return Error{"Unicorn memory at " + std::to_string(address), uc_strerror(error)};
    }
    for (std::uint64_t page = 0; executable && page < bytes; page += kPageSize) {
        code_pages_.push_back(address + page);
    }
    std::sort(code_pages_.begin(), code_pages_.end());
    return success();
}

std::uint64_t Engine::read(int name) const {
    std::uint64_t value = 0;
    uc_reg_read(engine_, name, &value);
    return value;
}

void Engine::write(int name, std::uint64_t value) { uc_reg_write(engine_, name, &value); }

relocate::CpuState Engine::cpu() const {
    relocate::CpuState cpu;
    if (arch_ == Arch::x86_64) {
        for (std::size_t i = 0; i < kGprNames64.size(); ++i) {
            cpu.gpr[i] = read(kGprNames64[i]);
        }
        cpu.rip = read(UC_X86_REG_RIP);
    } else {
        for (std::size_t i = 0; i < kGprNames32.size(); ++i) {
            cpu.gpr[i] = read(kGprNames32[i]);
        }
        cpu.rip = read(UC_X86_REG_EIP);
    }
    cpu.rflags = read(UC_X86_REG_EFLAGS);
    cpu.cr0 = read(UC_X86_REG_CR0);
    cpu.cr3 = read(UC_X86_REG_CR3);
    cpu.cr4 = read(UC_X86_REG_CR4);
    uc_x86_mmr table{};
    uc_reg_read(engine_, UC_X86_REG_GDTR, &table);
    cpu.gdtr = {table.base, static_cast<std::uint16_t>(table.limit)};
    uc_reg_read(engine_, UC_X86_REG_IDTR, &table);
    cpu.idtr = {table.base, static_cast<std::uint16_t>(table.limit)};
    cpu.cs = static_cast<std::uint16_t>(read(UC_X86_REG_CS));
    cpu.ds = static_cast<std::uint16_t>(read(UC_X86_REG_DS));
    cpu.es = static_cast<std::uint16_t>(read(UC_X86_REG_ES));
    cpu.ss = static_cast<std::uint16_t>(read(UC_X86_REG_SS));
    cpu.fs = static_cast<std::uint16_t>(read(UC_X86_REG_FS));
    cpu.gs = static_cast<std::uint16_t>(read(UC_X86_REG_GS));
    return cpu;
}

void Engine::set_cpu(const relocate::CpuState& cpu) {
    if (arch_ == Arch::x86_64) {
        for (std::size_t i = 0; i < kGprNames64.size(); ++i) {
            write(kGprNames64[i], cpu.gpr[i]);
        }
    } else {
        for (std::size_t i = 0; i < kGprNames32.size(); ++i) {
            write(kGprNames32[i], cpu.gpr[i]);
        }
    }
    write(UC_X86_REG_EFLAGS, cpu.rflags);
    uc_x86_mmr table{};
    table.base = cpu.gdtr.base;
    table.limit = cpu.gdtr.limit;
    uc_reg_write(engine_, UC_X86_REG_GDTR, &table);
    table.base = cpu.idtr.base;
    table.limit = cpu.idtr.limit;
    uc_reg_write(engine_, UC_X86_REG_IDTR, &table);
}

bool Engine::on_access(uc_mem_type type, std::uint64_t address, int size) {
    // A failed store does not leave its block at once: what follows it is of no interest.
    if (has_event_) {
        return false;
    }
    has_event_ = true;
    event_.cpu = cpu();
    event_.access = kind_of(type);
    event_.address = address;
    event_.size = static_cast<std::uint64_t>(size);
    event_.end = RunEnd::kAccess;
    if (event_.access == AccessKind::kFetch && address == target_ && event_.cpu.rip == target_) {
        event_.end = RunEnd::kReached;
    }
    return false;
}

void Engine::on_interrupt(std::uint32_t vector) {
    if (!has_event_) {
        has_event_ = true;
        event_.end = RunEnd::kException;
        event_.cpu = cpu();
        event_.vector = vector;
        event_.address = vector == kPageFault ? read(UC_X86_REG_CR2) : 0;
    }
    uc_emu_stop(engine_);
}

Outcome Engine::run(std::uint64_t begin, std::uint64_t target, std::chrono::nanoseconds limit) {
    ++runs_;
    target_ = target;
    has_event_ = false;
    event_ = Outcome();
    uc_err error = UC_ERR_OK;
    bool stuck = false;
    {
        const FastStores fast(code_pages_);
        watchdog_.begin(engine_, limit);
        // 0 for an end, as Unicorn drops translated code in front of every other one after a run.
        error = uc_emu_start(engine_, begin, 0, 0, 0);
        stuck = watchdog_.end();
    }
    if (has_event_) {
        return event_;
    }
    Outcome out;
    out.cpu = cpu();
    if (stuck) {
        out.end = RunEnd::kStuck;
    } else if (error == UC_ERR_OK) {
        out.end = RunEnd::kHalt;
    } else if (error == UC_ERR_INSN_INVALID) {
        out.end = RunEnd::kInvalid;
    } else {
        out.end = RunEnd::kOther;
        out.error = uc_strerror(error);
    }
    return out;
}

Outcome Engine::run_traced(std::uint64_t begin, std::uint64_t target,
                           std::chrono::nanoseconds limit, const Tracer& tracer) {
    if (!has_traced_) {
        const Status hooked = add_trace_hooks();
        if (!hooked) {
            Outcome out;
            out.end = RunEnd::kOther;
            out.error = hooked.error().message();
            return out;
        }
    }
    tracer_ = &tracer;
    Outcome out = run(begin, target, limit);
    tracer_ = nullptr;
    return out;
}

}  // namespace jumpback::unicorn
