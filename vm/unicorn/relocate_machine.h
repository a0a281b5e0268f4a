// SPDX-License-Identifier: GPL-2.0-or-later
//
// A bare CPU (Unicorn) with a little RAM on which the real relocate_kernel runs: from the call in
// machine_kexec to the entry of the new kernel, and back through the jump-back entry to the caller.
//
// The machine is set up once; a run changes RAM and registers and nothing else, so thousands of
// cases run on one machine. The caller puts the page list and the contents of pages into ram()
// itself.
//
// What Unicorn 2.0 does not do as a processor does:
// - It checks the page tables that CR3 points to (present, writable), but takes the virtual address
//   for the physical one. The machine shows a page at its virtual address as well, so the code sees
//   what it would see; a wrong address in a page table stays unnoticed. With kX86_64PageList the
//   page at relocate_kernel's link address is the copy in the control page from the start on. With
//   paging off (i386) a wild access to such a virtual address finds the page, too.
// - Exceptions end a run: the handlers of the debug IDT (6.16 on) are not entered.
// - Fetching from a page that holds no code of relocate_kernel ends a run: that is how entries are
//   reached and how wild jumps are noticed.
// - Global pages do not survive a write to CR3, caches do nothing.
// Hostile code may bring Unicorn itself down (it is QEMU with its assertions): run mutants in a
// child process and create the machine there, as it starts a thread that watches for endless runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/address.h"
#include "model/memory/writable_ram.h"
#include "model/relocate/cpu_state.h"
#include "model/result.h"
#include "vm/unicorn/relocate_code.h"

namespace jumpback::unicorn {

// Where things stand in guest physical memory. All of it is RAM and all of it is compared. Frames
// named here must not be used by a case's page list; `arena` is what a case may use.
struct Board {
    std::vector<memory::RamRegion> ram;  // every byte of RAM, arena included
    std::vector<memory::RamRegion> arena;
    Gpa control_page;  // the copy of the code (one page; old x86_64: page 1 of its block)
    Gpa swap_page;
    std::vector<Gpa> table_pages;    // of the kexec identity map and of the transition mapping
    std::vector<Gpa> kernel_tables;  // what CR3 points to before and after
    std::vector<Gpa> kernel_image;   // pages of kernel text and data that the code reads
    Gpa stack_page;                  // of the C caller
    Gpa entry_page;                  // the machine's own: a stub that brings the CPU to P0
    // What __save_processor_state() puts into saved_context.gdt_desc, whether or not the code loads
    // it on the way back.
    relocate::DescriptorTable saved_gdt;
};

// Boards differ in where control and swap page lie (low, above 4 GiB, at an edge of RAM).
// `arena_pages`: how many frames cases may use; they are spread over low memory, the edges of RAM
// and, on x86_64, above 4 GiB. `variant` picks one of kBoards layouts.
inline constexpr unsigned kBoards = 3;

struct Call {
    std::uint64_t head = 0;   // first word of the page list (image->head), flags included
    std::uint64_t start = 0;  // image->start: physical entry point
    bool preserve = true;
    bool host_memory_encryption = false;  // makes the code flush caches (wbinvd)
    bool cpu_has_pae = true;              // i386: the has_pae argument
};

enum class StopReason {
    kReached,  // the place that was asked for
    kFault,    // access to unmapped memory, bad descriptor, triple fault …
    kStuck,    // it ran longer than the limit (set_limit)
};

struct Stop {
    StopReason reason = StopReason::kReached;
    relocate::CpuState cpu;
    std::string what;  // for a fault: kind, address, instruction
};

// What the callee leaves behind at P2, the return point. Default: what a plain C function leaves.
struct CalleeReturn {
    relocate::CpuState cpu;  // gpr, rflags, gdtr, idtr as the callee left them; rsp and rip are set
                             // from below, control registers and selectors stay as at P1
    bool reentry_slot = true;  // pop the return address, push `next_entry`, jump there (kernels.md:
                               // works everywhere); false: a plain `ret`
    std::uint64_t next_entry = 0;
};

// One executed instruction of a traced run. A repeated one (rep movsq) is one step.
struct Step {
    std::uint64_t rip = 0;   // as executed
    std::uint64_t link = 0;  // the same instruction's link address in vmlinux; 0: not of the blob
    std::string text;        // disassembly
};
struct TracedWrite {
    std::uint64_t step = 0;  // index of the instruction
    Gpa gpa;
    Bytes size;
    std::uint64_t value = 0;
};

class RelocateMachine {
  public:
    // `code` may be a changed copy (mutants); from here on code is changed by nobody but the guest.
    // Errors: Unicorn or Capstone cannot be had, code or arena do not fit.
    static Result<RelocateMachine> create(const RelocateCode& code, unsigned variant,
                                          std::uint64_t arena_pages);
    RelocateMachine(RelocateMachine&&) noexcept;
    RelocateMachine& operator=(RelocateMachine&&) noexcept;
    RelocateMachine(const RelocateMachine&) = delete;
    RelocateMachine& operator=(const RelocateMachine&) = delete;
    ~RelocateMachine();

    [[nodiscard]] const Board& board() const;
    [[nodiscard]] memory::WritableRam& ram();

    // Puts control page, page tables, stack, saved_context and arguments as machine_kexec leaves
    // them just before the call (P0). Everything outside the arena is as after create(). Error: the
    // call cannot be made (start in a page that holds code), Unicorn fails.
    Status prepare(const Call& call);
    [[nodiscard]] relocate::CpuState cpu() const;

    // P0 -> P1: until the first instruction of `call.start`.
    Stop run_to_callee();
    // P1 -> P2 is the callee, played by the caller of this class: it changes ram() as it likes,
    // then P2 -> P3: from the return point until the C caller is reached.
    Stop run_back(const CalleeReturn& callee);

    // The same two runs with a record of instructions and writes (slow).
    Stop run_to_callee(std::vector<Step>& steps, std::vector<TracedWrite>& writes);
    Stop run_back(const CalleeReturn& callee, std::vector<Step>& steps,
                  std::vector<TracedWrite>& writes);

    // How much CPU time one run may take; default 250 ms, that is some 10,000 pages swapped.
    // Traced runs get 40 times as much; their record ends after 2,000,000 instructions or writes.
    void set_limit(std::chrono::milliseconds cpu_time);

    // Whether the guest's stores go straight to RAM (see dirty_tlb.h); else they cost about 25
    // times as much.
    [[nodiscard]] static bool stores_are_fast();

  private:
    struct Impl;
    explicit RelocateMachine(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace jumpback::unicorn
