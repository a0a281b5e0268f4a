// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's table of page frames: where the struct page of every pfn stands, in the three memory
// models (include/asm-generic/memory_model.h): FLATMEM (one array, mem_map), SPARSEMEM and
// SPARSEMEM_VMEMMAP (arrays per section). In the last two the section's section_mem_map is "array
// minus first pfn", so one formula serves both (mm/sparse.c, sparse_encode_mem_map()).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/address.h"
#include "model/memory/kernel_memory.h"
#include "model/memory/vmcoreinfo.h"
#include "model/result.h"

namespace jumpback::memory {

// Offsets in struct page, bytes; from vmcoreinfo.
struct PageLayout {
    std::uint64_t size = 0;
    std::uint64_t flags = 0;
    std::uint64_t refcount = 0;
    std::uint64_t mapping = 0;
    std::uint64_t lru = 0;
    std::uint64_t mapcount = 0;  // and page_type, the same 32 bits
    std::uint64_t private_ = 0;
    std::uint64_t compound_head = 0;
};

// The fields of one struct page, unsigned long fields widened.
struct PageStruct {
    std::uint64_t flags = 0;
    std::uint64_t mapping = 0;
    std::uint64_t private_ = 0;
    std::uint64_t compound_head = 0;
    std::uint64_t lru_next = 0;
    std::uint32_t page_type = 0;  // or _mapcount
    std::uint32_t refcount = 0;
};

// Consecutive frames whose struct pages are one array.
struct FrameSpan {
    Pfn first;
    std::uint64_t count = 0;
    Gva array;  // struct page of `first`
    // The section's subsection bits (2 MiB each) where CONFIG_MEMORY_HOTPLUG asks them, see
    // online().
    std::optional<std::uint64_t> subsections;
};

class FrameTable {
  public:
    // Reads the memory model from vmcoreinfo and the section table from memory.
    static Result<FrameTable> create(const KernelMemory& memory, const Vmcoreinfo& info);

    // pfn_valid(): has a struct page.
    [[nodiscard]] bool valid(Pfn pfn) const { return span_of(pfn) != nullptr; }

    // pfn_to_online_page() != NULL. With CONFIG_MEMORY_HOTPLUG a frame in a 2 MiB subsection
    // without memory is not online.
    [[nodiscard]] bool online(Pfn pfn) const;

    [[nodiscard]] Result<PageStruct> page(Pfn pfn) const;

    // The frame whose struct page stands at `address`; fails if none does.
    [[nodiscard]] Result<Pfn> frame_of(Gva address) const;

    [[nodiscard]] const PageLayout& layout() const { return layout_; }
    [[nodiscard]] const std::vector<FrameSpan>& spans() const { return spans_; }  // in pfn order
    [[nodiscard]] Pfn end_pfn() const;  // one past the last valid frame

  private:
    FrameTable(const KernelMemory& memory, PageLayout layout) : memory_(&memory), layout_(layout) {}

    Status add_sections(const Vmcoreinfo& info);
    Status add_section(std::uint64_t number, Gva section, std::uint64_t pfns_per_section);
    Status add_flat(const Vmcoreinfo& info);
    [[nodiscard]] const FrameSpan* span_of(Pfn pfn) const;

    const KernelMemory* memory_;
    PageLayout layout_;
    std::vector<FrameSpan> spans_;
};

}  // namespace jumpback::memory
