// SPDX-License-Identifier: GPL-2.0-or-later
//
// Builds small guest memories that look like a kernel's: page tables, vmcoreinfo, frame table, one
// zone with free lists, and swsusp's bitmaps. 8 MiB of RAM; all structures below 4 MiB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "model/memory/guest_kernel.h"
#include "model/memory/guest_ram.h"
#include "model/memory/page_tables.h"

namespace jumpback::memory::test {

enum class Machine { kX86_64, kX86_64Level5, kI386, kI386Pae };
enum class MemoryModel { kFlat, kSparse };  // x86_64 guests are sparse, i386 guests flat by default
enum class TypeEncoding { kLowBits, kHighBits, kTopByte };  // up to 6.9; 6.10 and 6.11; since 6.12

struct BuilderOptions {
    Machine machine = Machine::kX86_64;
    TypeEncoding types = TypeEncoding::kLowBits;
    bool static_sections = false;  // SPARSEMEM_STATIC instead of EXTREME
    bool high_zone = false;        // the upper half of RAM is zone HighMem
};

class GuestBuilder {
  public:
    static constexpr std::uint64_t kFrames = 2048;
    static constexpr std::uint64_t kFirstFreeStructure =
        0x0010'0000;  // structures are put from here on
    static constexpr unsigned kReserved = 12, kPrivate = 13, kLru = 4, kSwapCache = 10, kSlab = 9,
                              kSwapBacked = 19, kHead = 16;

    explicit GuestBuilder(BuilderOptions options = {});

    // ---- raw memory
    std::vector<std::byte> ram;
    Symbols symbols;
    [[nodiscard]] bool wide() const {
        return options_.machine == Machine::kX86_64 || options_.machine == Machine::kX86_64Level5;
    }
    [[nodiscard]] std::uint64_t word_size() const { return wide() ? 8 : 4; }
    [[nodiscard]] PagingMode mode() const;
    [[nodiscard]] std::uint64_t cr3() const { return cr3_; }
    // Address of physical memory in the direct mapping, and back.
    [[nodiscard]] std::uint64_t virt(std::uint64_t physical) const {
        return page_offset_ + physical;
    }
    [[nodiscard]] std::uint64_t phys(std::uint64_t virtual_address) const {
        return virtual_address - page_offset_;
    }
    void put_word(std::uint64_t physical, std::uint64_t value);
    void put_u32(std::uint64_t physical, std::uint32_t value);
    [[nodiscard]] std::uint64_t get_word(std::uint64_t physical) const;
    std::uint64_t take(std::uint64_t bytes, std::uint64_t align = 16);  // physical address
    // Defines a symbol at newly taken memory and returns its physical address.
    std::uint64_t variable(const std::string& name, std::uint64_t bytes);
    // A list_head at `physical` with these nodes (physical addresses of list_heads) in order.
    void link(std::uint64_t head, const std::vector<std::uint64_t>& nodes);

    // ---- kernel structures
    [[nodiscard]] std::uint64_t page_struct(std::uint64_t pfn) const;  // physical
    void set_flag(std::uint64_t pfn, unsigned bit, bool value = true);
    void set_type(std::uint64_t pfn,
                  unsigned index);  // 0 buddy, 1 offline, 2 table, 3 guard, 5 slab (not kLowBits)
    void set_mapping(std::uint64_t pfn, std::uint64_t value);
    void set_refcount(std::uint64_t pfn, std::uint32_t value);
    void set_tail_of(std::uint64_t pfn, std::uint64_t head);
    void free_block(std::uint64_t pfn, unsigned order);
    void nosave_region(std::uint64_t start, std::uint64_t end);
    void unmap_large(std::uint64_t physical);  // clears the large page of the direct mapping
    std::string vmcoreinfo;                    // edit before finish()

    // memory_bitmap at `physical`; new pages are taken for it. Returns the frames of the bitmap
    // itself.
    std::vector<std::uint64_t> bitmap(std::uint64_t physical, std::uint64_t start,
                                      std::uint64_t end, const std::vector<std::uint64_t>& pfns);

    // Writes vmcoreinfo and the lists. Structures taken later are still fine.
    void finish();

    [[nodiscard]] GuestRam view() const;
    // The view must outlive the kernel.
    [[nodiscard]] Result<std::unique_ptr<GuestKernel>> open(const GuestRam& view) const;

    // Offsets of the made-up structs, bytes.
    [[nodiscard]] std::uint64_t page_size_of_struct() const { return wide() ? 64 : 32; }
    [[nodiscard]] std::uint64_t lru_offset() const { return word_size(); }
    [[nodiscard]] std::uint64_t zone(unsigned index) const { return node_ + index * kZoneSize; }
    static constexpr std::uint64_t kZoneSize = 1024, kSpannedAt = 96, kFreeAreaAt = 128;
    [[nodiscard]] std::uint64_t free_list(unsigned zone_index, unsigned order) const;
    // Where the section's (sparse) map pointer stands.
    [[nodiscard]] std::uint64_t section() const { return section_; }
    [[nodiscard]] std::uint64_t sections_root() const { return roots_; }

  private:
    void build_tables();
    void build_frames();
    void build_zones();
    void write_vmcoreinfo();

    BuilderOptions options_;
    std::uint64_t next_ = kFirstFreeStructure;
    std::uint64_t cr3_ = 0;
    std::uint64_t large_entries_ = 0;  // physical: the table whose entries map RAM with large pages
    std::uint64_t page_offset_ = 0;
    std::uint64_t frames_at_ = 0;
    std::uint64_t node_ = 0;
    std::uint64_t section_ = 0;
    std::uint64_t roots_ = 0;
    std::map<std::uint64_t, std::vector<std::uint64_t>> lists_;  // list head -> nodes, physical
};

// A whole sound snapshot on top of the builder.
struct SnapshotGuest {
    explicit SnapshotGuest(BuilderOptions options = {}, bool with_zero_pages = false);

    GuestBuilder guest;
    std::vector<std::uint64_t> saveable;   // all frames that had to be saved
    std::vector<std::uint64_t> copy_pfns;  // of the non-zero ones, in order
    std::vector<std::uint64_t> zero_pfns;
    std::uint64_t orig_bm = 0, copy_bm = 0, zero_bm = 0, forbidden_bm = 0, free_bm = 0;  // physical
    std::uint64_t nr_copy_pages = 0;                                                     // physical

    // Sets or clears one frame's bit in a bitmap of one block.
    void bit(std::uint64_t bitmap, std::uint64_t pfn, bool value);
};

}  // namespace jumpback::memory::test
