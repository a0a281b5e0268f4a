// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/unicorn/src/layout.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

namespace jumpback::unicorn {

namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kLargePage = 2 * kMiB;

// Documentation/arch/x86/x86_64/mm.rst: direct map and vmalloc area without KASLR.
constexpr std::uint64_t kDirectMap64 = 0xffff888000000000;
constexpr std::uint64_t kStackVa64 = 0xffffc90000013000;
// i386 with CONFIG_VMSPLIT_3G: lowmem ends at 896 MiB, vmalloc lies above it.
constexpr std::uint64_t kDirectMap32 = 0xc0000000;
constexpr std::uint64_t kLowmemEnd32 = 896 * kMiB;
constexpr std::uint64_t kStackVa32 = 0xf8804000;

// The stub that brings the CPU to P0 enters long mode with a 32-bit instruction pointer.
constexpr std::uint64_t kEntryPage = 33 * kMiB;

// A stretch of the arena. One that grows down ends at `edge`, else it starts there.
struct Zone {
    std::uint64_t edge = 0;
    bool grows_down = false;
    std::uint64_t share = 0;  // of 8
    std::uint64_t most = 0;   // frames
};

struct Places {
    std::array<Zone, 5> zones;
    std::uint64_t control = 0;
    std::uint64_t swap = 0;
    std::uint64_t rest = 0;  // tables, stack and kernel image from here on
    // Whether the frame behind the swap page is RAM: somebody else's. A callee's stack that reaches
    // past its page (kernels.md D3, D5) finds a word there, or faults.
    bool neighbour = true;
};

// Frame 1 and up (below the hole at 640 KiB), below the kernel at 16 MiB, below the PCI hole at
// 3 GiB, from 4 GiB on, and the last frames of 16 GiB.
Places places_64(unsigned variant) {
    Places out;
    out.zones = {{{kPageSize, false, 1, 150},
                  {16 * kMiB, true, 2, 3000},
                  {3 * kGiB, true, 1, 65536},
                  {4 * kGiB, false, 2, 262144},
                  {16 * kGiB, true, 2, 131072}}};
    switch (variant) {
        case 0:  // all low, beside the kernel
            out.control = 48 * kMiB + kPageSize;
            out.swap = 49 * kMiB;
            out.rest = 50 * kMiB;
            break;
        case 1:  // all above 4 GiB
            out.control = 6 * kGiB + 0x5000;
            out.swap = 6 * kGiB + 0x7000;
            out.rest = 6 * kGiB + kMiB;
            break;
        default:  // control page at the start of RAM, swap page its last frame
            out.control = 2 * kPageSize;
            out.swap = 16 * kGiB - kPageSize;
            out.neighbour = false;
            out.rest = 8 * kGiB;
            out.zones[0].edge = 3 * kPageSize;
            out.zones[4].edge = out.swap;
            break;
    }
    return out;
}

// The same, but for lowmem's end and the end of 32 bits in place of 4 and 16 GiB. Control pages are
// always lowmem (KEXEC_CONTROL_MEMORY_LIMIT).
Places places_32(unsigned variant) {
    Places out;
    out.zones = {{{kPageSize, false, 1, 150},
                  {16 * kMiB, true, 2, 3000},
                  {kLowmemEnd32 - 2 * kMiB, true, 1, 65536},
                  {3 * kGiB, true, 2, 262144},
                  {4 * kGiB, true, 2, 8192}}};
    switch (variant) {
        case 0:
            out.control = 48 * kMiB + kPageSize;
            out.swap = 49 * kMiB;
            out.rest = 50 * kMiB;
            break;
        case 1:  // control page the last frame of lowmem
            out.control = kLowmemEnd32 - kPageSize;
            out.swap = kLowmemEnd32 - 0x58 * kPageSize;
            out.rest = 512 * kMiB;
            break;
        default:
            out.control = 2 * kPageSize;
            out.swap = kLowmemEnd32 - kPageSize;
            out.neighbour = false;
            out.rest = 512 * kMiB;
            out.zones[0].edge = 3 * kPageSize;
            break;
    }
    return out;
}

Paging paging_of(const RelocateCode& code) {
    if (code.arch == Arch::x86_64) {
        return Paging::kFourLevels;
    }
    return code.pae ? Paging::kPae : Paging::kTwoLevels;
}

std::uint64_t page_of(std::uint64_t address) { return address & ~(kPageSize - 1); }

class Planner {
  public:
    Planner(const RelocateCode& code, const Places& places)
        : code_(code), places_(places), next_(places.rest) {
        layout_.paging = paging_of(code);
    }

    Result<Layout> plan(std::uint64_t arena_pages) {
        Status status = place_arena(arena_pages);
        if (!status) {
            return status.error();
        }
        place_kernel();
        map_kernel();
        map_kexec();
        finish_ram();
        return std::move(layout_);
    }

  private:
    Gpa take(std::uint64_t gpa) {
        frames_.insert(gpa);
        return Gpa{gpa};
    }
    // The next frame with a hole behind it, so that running off a page is noticed.
    Gpa take_next() {
        const Gpa page = take(next_);
        next_ += 2 * kPageSize;
        return page;
    }

    Status place_arena(std::uint64_t pages) {
        std::array<std::uint64_t, 5> counts{};
        std::uint64_t left = pages;
        for (std::size_t i = 0; i < counts.size(); ++i) {
            counts[i] = std::min(places_.zones[i].most, pages * places_.zones[i].share / 8);
            left -= counts[i];
        }
        for (std::size_t i = 0; i < counts.size(); ++i) {
            const std::uint64_t more = std::min(left, places_.zones[i].most - counts[i]);
            counts[i] += more;
            left -= more;
        }
        if (left != 0) {
            return Error{"arena", std::to_string(pages) + " pages: the board has room for " +
                                      std::to_string(pages - left)};
        }
        for (std::size_t i = 0; i < counts.size(); ++i) {
            const Zone& zone = places_.zones[i];
            const std::uint64_t bytes = counts[i] * kPageSize;
            const std::uint64_t begin = zone.grows_down ? zone.edge - bytes : zone.edge;
            if (bytes != 0) {
                arena_.push_back({Gpa{begin}, Bytes{0}, Bytes{bytes}});
            }
            for (std::uint64_t gpa = begin; gpa < begin + bytes; gpa += kPageSize) {
                take(gpa);
            }
        }
        return success();
    }

    void place_kernel() {
        Board& board = layout_.board;
        board.control_page = take(places_.control);
        board.swap_page = take(places_.swap);
        if (places_.neighbour) {
            take(places_.swap + kPageSize);
        }
        board.stack_page = take_next();
        board.entry_page = take(kEntryPage);
        layout_.caller_page = image_page();
        layout_.gdt_page = image_page();
        if (code_.convention == Convention::kX86_64PageList) {
            layout_.text_page = image_page();
        }
        const bool wide = code_.arch == Arch::x86_64;
        const std::uint64_t direct = wide ? kDirectMap64 : kDirectMap32;
        layout_.control_va = direct + board.control_page.raw;
        layout_.gdt_va = direct + layout_.gdt_page.raw;
        layout_.stack_va = wide ? kStackVa64 : kStackVa32;
        board.saved_gdt = {layout_.gdt_va, gdt_limit(code_.arch)};
        if (code_.gdt_descriptor) {
            layout_.descriptor_page = image_page();
        }
        // machine_kexec's own page, unless relocate_kernel's first half runs there.
        std::uint64_t caller = code_.caller.raw + 0x40;
        if (page_of(caller) == page_of(code_.entry.raw)) {
            caller += kPageSize;
        }
        layout_.return_va = caller;
    }

    Gpa image_page() {
        const Gpa page = take_next();
        layout_.board.kernel_image.push_back(page);
        return page;
    }

    void map_kernel() {
        std::vector<PageMapping>& kernel = layout_.kernel;
        const Board& board = layout_.board;
        // set_memory_rox from 6.14 on: the code may write its page only under the kexec tables.
        const bool read_only = code_.convention == Convention::kX86_64Flags;
        kernel.push_back({layout_.control_va, board.control_page, false, !read_only});
        kernel.push_back({layout_.stack_va, board.stack_page});
        kernel.push_back({layout_.gdt_va, layout_.gdt_page});
        kernel.push_back({page_of(layout_.return_va), layout_.caller_page, false, false});
        if (layout_.text_page != Gpa{}) {
            kernel.push_back({page_of(code_.begin.raw), layout_.text_page, false, false});
        }
        if (code_.gdt_descriptor) {
            kernel.push_back({page_of(code_.gdt_descriptor->raw), layout_.descriptor_page});
        }
        // Not the kernel's: the stub that brings the CPU here.
        kernel.push_back({board.entry_page.raw, board.entry_page});
        for (std::uint64_t i = tables_needed(layout_.paging, kernel); i != 0; --i) {
            layout_.board.kernel_tables.push_back(take_next());
        }
    }

    // init_pgtable and init_transition_pgtable; machine_kexec_prepare_page_tables.
    void map_kexec() {
        std::vector<PageMapping>& kexec = layout_.kexec;
        Board& board = layout_.board;
        const Gpa control = board.control_page;
        if (code_.arch == Arch::i386) {
            kexec.push_back({layout_.control_va, control});
            kexec.push_back({control.raw, control});
        } else {
            // The tables are RAM and so mapped as well: all of them lie within 2 MiB of `rest`.
            std::set<std::uint64_t> large{next_ & ~(kLargePage - 1)};
            for (const std::uint64_t frame : frames_) {
                large.insert(frame & ~(kLargePage - 1));
            }
            for (const std::uint64_t gpa : large) {
                kexec.push_back({gpa, Gpa{gpa}, true});
            }
            const bool in_text = code_.convention == Convention::kX86_64PageList;
            kexec.push_back({in_text ? page_of(code_.begin.raw) : layout_.control_va, control});
        }
        std::uint64_t count = tables_needed(layout_.paging, kexec);
        if (code_.convention == Convention::kX86_64PageList) {
            // Up to 6.1 the PGD is the first of the two pages of the control block.
            board.table_pages.push_back(take(control.raw - kPageSize));
            --count;
        }
        for (; count != 0; --count) {
            board.table_pages.push_back(take_next());
        }
    }

    // Gathers the frames into regions and gives each its place in the buffer.
    void finish_ram() {
        std::vector<memory::RamRegion>& ram = layout_.board.ram;
        std::uint64_t offset = 0;
        for (const std::uint64_t frame : frames_) {
            if (!ram.empty() && ram.back().gpa.raw + ram.back().length.raw == frame) {
                ram.back().length.raw += kPageSize;
            } else {
                ram.push_back({Gpa{frame}, Bytes{offset}, Bytes{kPageSize}});
            }
            offset += kPageSize;
        }
        layout_.ram_bytes = offset;
        for (memory::RamRegion region : arena_) {
            for (const memory::RamRegion& home : ram) {
                const std::uint64_t into = region.gpa.raw - home.gpa.raw;
                if (region.gpa >= home.gpa && into < home.length.raw) {
                    region.offset = Bytes{home.offset.raw + into};
                }
            }
            layout_.board.arena.push_back(region);
        }
    }

    const RelocateCode& code_;
    const Places& places_;
    std::uint64_t next_;
    std::set<std::uint64_t> frames_;
    std::vector<memory::RamRegion> arena_;
    Layout layout_;
};

}  // namespace

Gpa Layout::to_gpa(std::uint64_t va) const {
    for (const auto* mappings : {&kernel, &kexec}) {
        for (const PageMapping& mapping : *mappings) {
            // A page of kernel text stands for the copy in the control page: see the machine.
            if (!mapping.large && page_of(va) == mapping.va) {
                const Gpa page = mapping.pa == text_page ? board.control_page : mapping.pa;
                return Gpa{page.raw + va % kPageSize};
            }
        }
    }
    return Gpa{va};
}

Result<Layout> make_layout(const RelocateCode& code, unsigned variant, std::uint64_t arena_pages) {
    if (variant >= kBoards) {
        return Error{"board", "no variant " + std::to_string(variant) + ", there are " +
                                  std::to_string(kBoards)};
    }
    const Places places = code.arch == Arch::x86_64 ? places_64(variant) : places_32(variant);
    return Planner(code, places).plan(arena_pages);
}

}  // namespace jumpback::unicorn
