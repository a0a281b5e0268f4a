// SPDX-License-Identifier: GPL-2.0-or-later
//
// A bare CPU (Unicorn) with a vmlinux mapped at its link addresses, for running single functions of
// it. No paging, no devices: what the function reads elsewhere is zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/address.h"
#include "model/result.h"
#include "vm/vmlinux.h"

struct uc_struct;

namespace jumpback::sequence {

// Bytes to change in the mapped copy of the kernel.
struct Patch {
    Gva address;
    std::vector<std::byte> bytes;
};

// A data access of the instruction that is being run.
struct Access {
    Gva address;
    unsigned size = 0;  // bytes
    bool write = false;
    std::uint64_t value = 0;  // that is being written
};

enum class StepResult : std::uint8_t {
    done,      // one instruction was run (of a repeated one, one round)
    no_code,   // the instruction pointer is at an address where nothing is mapped
    exception  // the instruction raised one: ud2, a fault
};

// Where registers and memory stand, in the kernel's C calling convention: x86_64's SysV order, or
// i386 with -mregparm=3 (arch/x86/Makefile).
class KernelCpu {
  public:
    // Fails if the kernel cannot be mapped, or a patch lies outside it.
    static Result<KernelCpu> create(const Vmlinux& kernel, std::span<const Patch> patches);

    // Ready to run a function: fresh stack and registers, interrupts on; all memory as it was
    // right after create().
    void call(Gva function, std::span<const std::uint64_t> arguments);
    StepResult step();

    [[nodiscard]] Gva instruction() const;  // address of the next instruction
    [[nodiscard]] bool has_returned() const;
    void jump(Gva address);
    // The words that a `call` pushed and `ret` pops.
    [[nodiscard]] Gva return_address() const;
    // As a function does that returns `value`: pops the return address, and fills every register
    // that the caller may not rely on with a pattern.
    void return_from_callee(std::uint64_t value);
    // The same without touching a register, as __fentry__ promises.
    void return_untouched();
    [[nodiscard]] std::uint64_t argument(unsigned index) const;  // 0 to 2
    [[nodiscard]] std::int32_t return_value() const;
    // How often the next repeated instruction repeats.
    [[nodiscard]] std::uint64_t repeat_count() const;
    [[nodiscard]] bool interrupts_on() const;
    void set_interrupts(bool on);

    // Zeros where nothing is mapped.
    [[nodiscard]] std::vector<std::byte> read(Gva address, std::size_t length) const;
    // Undone by the next call(), as all that the function writes.
    void write(Gva address, std::uint64_t value, std::size_t length);
    // Called for every data access of step(), before it is made.
    void on_access(std::function<void(const Access&)> callback);

    [[nodiscard]] Arch arch() const;
    // Free for the caller: zero after call(), kScratchSize bytes.
    [[nodiscard]] Gva scratch() const;
    static constexpr std::uint64_t kScratchSize = 4 * kPageSize;

    // Opaque: C callbacks need a stable address.
    struct State;

  private:
    explicit KernelCpu(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;

  public:
    KernelCpu(KernelCpu&&) noexcept;
    KernelCpu& operator=(KernelCpu&&) noexcept;
    KernelCpu(const KernelCpu&) = delete;
    KernelCpu& operator=(const KernelCpu&) = delete;
    ~KernelCpu();
};

}  // namespace jumpback::sequence
