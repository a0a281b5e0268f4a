// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs kernel_kexec() or machine_kexec() instruction by instruction and writes down its steps.
// Every call out of the function is answered by script instead of being run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/jump/trace.h"
#include "model/result.h"
#include "vm/sequence/code_map.h"
#include "vm/sequence/kernel_cpu.h"
#include "vm/vmlinux.h"

namespace jumpback::sequence {

// One call out of the function, step or not.
struct Call {
    std::string symbol;  // empty: no symbol of the kernel
    Gva site;            // the instruction behind the call
    std::uint64_t argument = 0;
    std::int64_t result = 0;
    std::string step;  // the model's id; empty: none
};

struct TracedRun {
    jump::Trace trace;
    std::vector<Call> calls;
    // Why the function did not come back, where it should have; empty: it did, or it is a plain
    // kexec that leaves this kernel.
    std::string stopped;
};

// Addresses of variables; 0: this kernel has none.
struct Variables {
    Gva kexec_image;
    Gva lock;              // __kexec_lock, an atomic: every kernel of the catalogue
    Gva mutex;             // kexec_mutex, which older kernels have in its place
    Gva in_progress;       // kexec_in_progress
    Gva transition_mutex;  // system_transition_mutex
    Gva relocate_kernel;   // whose code machine_kexec() copies: x86_64 up to 6.13, i386 always
};
Variables find_variables(const Vmlinux& kernel);

// A bit of struct kimage.
struct ImageBit {
    std::uint64_t offset = 0;  // of its byte
    unsigned bit = 0;
    bool operator==(const ImageBit&) const = default;
};

class Tracer {
  public:
    Tracer(const CodeMap& code, const Variables& variables, KernelCpu& cpu)
        : code_(code), variables_(variables), cpu_(cpu) {}

    // `bit`: the one of struct kimage to set, if any.
    TracedRun run_kernel_kexec(const jump::Scenario& scenario, std::optional<ImageBit> bit);
    TracedRun run_machine_kexec(jump::Branch branch, std::optional<ImageBit> bit);
    // Bytes of struct kimage that the last run read.
    [[nodiscard]] const std::vector<std::uint64_t>& image_reads() const { return image_reads_; }

  private:
    void begin(const jump::Scenario& scenario, std::optional<ImageBit> bit);
    TracedRun loop();
    TracedRun step_until_it_ends();
    bool left_function(Gva at);
    bool special_instruction(Gva at);
    // A repeated instruction that will not end in any sensible time.
    [[nodiscard]] bool repeats_endlessly(Gva at) const;
    void accessed(const Access& access);
    void add(jump::Step step, std::string symbol = {}, int result = 0,
             std::optional<std::uint32_t> argument = {});
    [[nodiscard]] Gva image() const { return cpu_.scratch(); }
    [[nodiscard]] Code classify(Gva at) const;
    [[nodiscard]] std::uint64_t value_of(Gva address, std::size_t length) const;

    const CodeMap& code_;
    const Variables& variables_;
    KernelCpu& cpu_;
    bool machine_ = false;  // machine_kexec() is traced
    bool lock_busy_ = false;
    jump::Scenario scenario_;
    TracedRun run_;
    std::vector<std::uint64_t> image_reads_;
};

}  // namespace jumpback::sequence
