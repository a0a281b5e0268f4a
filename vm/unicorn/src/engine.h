// SPDX-License-Identifier: GPL-2.0-or-later
//
// One Unicorn engine: memory that belongs to somebody else, registers, and runs that end where they
// were asked to or at the first thing that goes wrong.
#pragma once

#include <unicorn/unicorn.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/relocate/cpu_state.h"
#include "model/result.h"
#include "vm/unicorn/src/watchdog.h"
#include "vm/vmlinux.h"

namespace jumpback::unicorn {

enum class RunEnd {
    kReached,    // the address that was asked for
    kAccess,     // memory that is not there, or must not be fetched from
    kException,  // the processor raised a vector
    kInvalid,    // an instruction that is none
    kHalt,       // hlt
    kStuck,      // stopped by the watchdog
    kOther,      // Unicorn's own error
};

enum class AccessKind { kRead, kWrite, kFetch };

struct Outcome {
    RunEnd end = RunEnd::kReached;
    relocate::CpuState cpu;  // kAccess: at the access; rip may be the start of its block
    AccessKind access = AccessKind::kRead;
    std::uint64_t address = 0;  // of the access; #PF: CR2
    std::uint64_t size = 0;     // bytes
    unsigned vector = 0;
    std::string error;  // kOther
};

// Called before each instruction and at each write of a traced run.
struct Tracer {
    std::function<void(std::uint64_t rip)> step;
    std::function<void(std::uint64_t address, std::uint64_t size, std::uint64_t value)> write;
};

class Engine {
  public:
    static Result<std::unique_ptr<Engine>> open(Arch arch);
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    Engine(Engine&&) = delete;
    Engine& operator=(Engine&&) = delete;
    ~Engine();

    // Shows `bytes` of `memory` (whole pages, borrowed) at `address`.
    Status map(std::uint64_t address, std::byte* memory, std::uint64_t bytes, bool executable);

    [[nodiscard]] relocate::CpuState cpu() const;
    // General registers, flags, GDTR and IDTR; the rest only guest code can set (entry_stub.h).
    void set_cpu(const relocate::CpuState& cpu);

    // Runs from `begin` until `target`, an address in a page that is not executable, is fetched.
    Outcome run(std::uint64_t begin, std::uint64_t target, std::chrono::nanoseconds limit);
    // The same with hooks on every instruction and write. The hooks stay: such an engine is slow.
    Outcome run_traced(std::uint64_t begin, std::uint64_t target, std::chrono::nanoseconds limit,
                       const Tracer& tracer);
    [[nodiscard]] bool has_traced() const { return has_traced_; }
    // Whether it keeps translations of more than the entry stub that know nothing of the hooks.
    [[nodiscard]] bool has_translated() const { return !has_traced_ && runs_ > kStubRuns; }

  private:
    // The first run of an engine is the entry stub's, which no trace is to show.
    static constexpr std::uint64_t kStubRuns = 1;

    Engine(uc_engine* engine, Arch arch);
    Status add_hooks();
    Status add_trace_hooks();
    bool on_access(uc_mem_type type, std::uint64_t address, int size);
    void on_interrupt(std::uint32_t vector);

    [[nodiscard]] std::uint64_t read(int name) const;
    void write(int name, std::uint64_t value);

    uc_engine* engine_;
    Arch arch_;
    Watchdog watchdog_;
    std::vector<std::uint64_t> code_pages_;  // sorted

    // Of the run that goes on.
    std::uint64_t target_ = 0;
    bool has_event_ = false;
    Outcome event_;
    const Tracer* tracer_ = nullptr;
    bool has_traced_ = false;
    std::uint64_t runs_ = 0;

    friend struct EngineHooks;
};

}  // namespace jumpback::unicorn
