// SPDX-License-Identifier: GPL-2.0-or-later
//
// A captured kernel, opened: page tables, vmcoreinfo, frame table and zones in one object.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/memory/frame_owner.h"
#include "model/memory/frame_table.h"
#include "model/memory/guest_ram.h"
#include "model/memory/kernel_memory.h"
#include "model/memory/page_types.h"
#include "model/memory/vmcoreinfo.h"
#include "model/memory/zones.h"
#include "model/result.h"

namespace jumpback::memory {

class GuestKernel {
  public:
    // `ram` is borrowed, `symbols` are kept. `cr3` and `mode` as at the capture, in kernel mode.
    // Fails if vmcoreinfo, the frame table or the zones cannot be read, or if the kernel's own text
    // is not PG_reserved (then vmlinux and capture do not belong together).
    static Result<std::unique_ptr<GuestKernel>> open(const GuestRam& ram, Symbols symbols,
                                                     Arch arch, PagingMode mode, std::uint64_t cr3);

    [[nodiscard]] const KernelMemory& memory() const { return memory_; }
    [[nodiscard]] const Vmcoreinfo& info() const { return info_; }
    [[nodiscard]] const FrameTable& frames() const { return *frames_; }
    [[nodiscard]] const PageTypes& types() const { return types_; }
    [[nodiscard]] const std::vector<Zone>& zones() const { return zones_; }
    [[nodiscard]] FrameOwners owners() const { return {*frames_, types_}; }
    [[nodiscard]] Pfn end_pfn() const { return end_; }  // one past the last frame of any zone

    // kernel_page_present() of arch/x86/mm/pat/set_memory.c: is the frame mapped in the direct
    // mapping of init_mm? Not the page tables of CR3, which may be a process's.
    [[nodiscard]] bool present_in_direct_map(Pfn pfn) const;

    GuestKernel(const GuestKernel&) = delete;
    GuestKernel& operator=(const GuestKernel&) = delete;
    GuestKernel(GuestKernel&&) = delete;
    GuestKernel& operator=(GuestKernel&&) = delete;
    ~GuestKernel() = default;

  private:
    GuestKernel(const GuestRam& ram, Symbols symbols, Arch arch, PagingMode mode, std::uint64_t cr3)
        : symbols_(std::move(symbols)),
          memory_(ram, symbols_, arch, PageTables(ram, mode, cr3)),
          init_tables_(ram, mode, cr3) {}

    Status load();
    Status find_direct_map();

    Symbols symbols_;
    KernelMemory memory_;
    PageTables init_tables_;         // of init_mm
    std::uint64_t page_offset_ = 0;  // virtual address of physical address 0
    Vmcoreinfo info_;
    std::unique_ptr<FrameTable> frames_;
    PageTypes types_;
    std::vector<Zone> zones_;
    Pfn end_;
};

}  // namespace jumpback::memory
