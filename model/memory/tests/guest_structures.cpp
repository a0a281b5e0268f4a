// SPDX-License-Identifier: GPL-2.0-or-later
//
// The builder's second half: vmcoreinfo, memory bitmaps and a whole snapshot.
#include <algorithm>

#include "model/memory/tests/guest_builder.h"

namespace jumpback::memory::test {

void GuestBuilder::write_vmcoreinfo() {
    const auto line = [this](const std::string& key, std::uint64_t value) {
        vmcoreinfo += key + "=" + std::to_string(value) + "\n";
    };
    const auto address = [this](const std::string& name) {
        char text[64];
        std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(symbols[name]));
        vmcoreinfo += "SYMBOL(" + name + ")=" + text + "\n";
    };
    const std::uint64_t w = word_size();
    vmcoreinfo = "OSRELEASE=6.1.192-test\nBUILD-ID=00\nPAGESIZE=4096\n";
    address("contig_page_data");
    if (wide()) {
        address("mem_section");
        line("SIZE(mem_section)", 16);
        line("LENGTH(mem_section)", options_.static_sections ? 8192 : 8192 / 256);
        line("NUMBER(SECTION_SIZE_BITS)", 27);
        line("NUMBER(MAX_PHYSMEM_BITS)", 40);
    } else {
        address("mem_map");
    }
    line("SIZE(page)", page_size_of_struct());
    line("OFFSET(page.flags)", 0);
    line("OFFSET(page.lru)", lru_offset());
    line("OFFSET(page.compound_head)", w);
    line("OFFSET(page.mapping)", 3 * w);
    line("OFFSET(page.private)", 5 * w);
    line("OFFSET(page._mapcount)", wide() ? 48 : 24);
    line("OFFSET(page._refcount)", wide() ? 52 : 28);
    line("SIZE(zone)", kZoneSize);
    line("OFFSET(pglist_data.node_zones)", 0);
    line("OFFSET(pglist_data.nr_zones)", 3 * kZoneSize);
    line("OFFSET(zone.spanned_pages)", kSpannedAt);
    line("OFFSET(zone.free_area)", kFreeAreaAt);
    line("SIZE(free_area)", 7 * w);
    line("OFFSET(free_area.free_list)", 0);
    line("LENGTH(zone.free_area)", 11);
    line("LENGTH(free_area.free_list)", 3);
    line("NUMBER(PG_lru)", kLru);
    line("NUMBER(PG_private)", kPrivate);
    line("NUMBER(PG_swapcache)", kSwapCache);
    line("NUMBER(PG_swapbacked)", kSwapBacked);
    line("NUMBER(PG_head_mask)", std::uint64_t{1} << kHead);
    if (options_.types == TypeEncoding::kLowBits) {
        line("NUMBER(PG_slab)", kSlab);
        vmcoreinfo += "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\n";
    } else if (options_.types == TypeEncoding::kHighBits) {
        vmcoreinfo += "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-1073741825\n";
    } else {
        vmcoreinfo += "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n";
    }
}

void GuestBuilder::finish() {
    const std::uint64_t text = take(kPageSize, kPageSize);
    std::memcpy(ram.data() + text, vmcoreinfo.data(),
                std::min<std::size_t>(vmcoreinfo.size(), kPageSize));
    put_word(variable("vmcoreinfo_data", 8), virt(text));
    put_word(variable("vmcoreinfo_size", 8), vmcoreinfo.size());
    for (const auto& [head, nodes] : lists_) {
        link(head, nodes);
    }
}

GuestRam GuestBuilder::view() const { return GuestRam::create(ram, {}).value(); }

Result<std::unique_ptr<GuestKernel>> GuestBuilder::open(const GuestRam& view) const {
    return GuestKernel::open(view, symbols, wide() ? Arch::kX86_64 : Arch::kI386, mode(), cr3_);
}

std::vector<std::uint64_t> GuestBuilder::bitmap(std::uint64_t physical, std::uint64_t start,
                                                std::uint64_t end,
                                                const std::vector<std::uint64_t>& pfns) {
    constexpr std::uint64_t kBits = kPageSize * 8;
    const std::uint64_t w = word_size();
    const std::uint64_t blocks = (end - start + kBits - 1) / kBits;
    const std::uint64_t chain = take(kPageSize, kPageSize);  // p_list: structs live here
    std::vector<std::uint64_t> own{chain >> kPageShift};
    const std::uint64_t tree = chain + w;
    std::vector<std::uint64_t> leaves;
    std::vector<std::uint64_t> nodes;
    std::uint64_t next = tree + 9 * w + 8;
    const auto node = [&] {
        const std::uint64_t at = next;
        next += 3 * w;
        const std::uint64_t data = take(kPageSize, kPageSize);
        own.push_back(data >> kPageShift);
        put_word(at + 2 * w, virt(data));
        return at;
    };
    for (std::uint64_t block = 0; block < blocks; ++block) {
        leaves.push_back(node());
    }
    std::uint64_t root = leaves[0];
    if (blocks > 1) {  // one level is enough for 512 blocks
        root = node();
        nodes.push_back(root);
        for (std::uint64_t block = 0; block < blocks; ++block) {
            put_word(phys(get_word(root + 2 * w)) + block * w, virt(leaves[block]));
        }
    }
    for (const std::uint64_t pfn : pfns) {
        const std::uint64_t bit = (pfn - start) % kBits;
        const std::uint64_t data = phys(get_word(leaves[(pfn - start) / kBits] + 2 * w));
        ram[data + bit / 8] |= std::byte{1} << (bit % 8);
    }
    link(tree + 2 * w, nodes);
    link(tree + 4 * w, leaves);
    put_word(tree + 6 * w, start);
    put_word(tree + 7 * w, end);
    put_word(tree + 8 * w, virt(root));
    put_u32(tree + 9 * w, blocks > 1 ? 1 : 0);
    put_u32(tree + 9 * w + 4, static_cast<std::uint32_t>(blocks));
    link(physical, {tree});
    put_word(physical + 2 * w, virt(chain));
    return own;
}

// Frames: 0 outside the zone; 1 to 1023 structures, all saveable but a few; from 1024 on: some data
// pages, the copies, and free memory.
SnapshotGuest::SnapshotGuest(BuilderOptions options, bool with_zero_pages) : guest(options) {
    constexpr std::uint64_t kData = 1024, kDataPages = 20, kFreeBlock = 2016;
    GuestBuilder& g = guest;
    g.nosave_region(160, 256);  // like the BIOS area
    for (std::uint64_t pfn = 160; pfn < 256; ++pfn) {
        g.set_flag(pfn, GuestBuilder::kReserved);
    }
    g.free_block(kFreeBlock, 5);
    g.free_block(1048, 3);
    const std::uint64_t nosave_pfn = g.phys(g.symbols["__nosave_begin"]) >> kPageShift;
    g.set_flag(nosave_pfn, GuestBuilder::kReserved);
    g.set_type(1044, 1);  // PageOffline
    for (std::uint64_t pfn = 1; pfn < kData + kDataPages; pfn += 2) {
        if (pfn < GuestBuilder::kFirstFreeStructure >> kPageShift || pfn >= kData) {
            g.ram[pfn * kPageSize + 17] = std::byte{0x5a};
        }
    }
    for (const char* name : {"forbidden_pages_map", "free_pages_map"}) {
        const std::uint64_t map = g.take(64);
        g.put_word(g.variable(name, 16), g.virt(map));
        (name[1] == 'o' ? forbidden_bm : free_bm) = map;
    }
    orig_bm = g.variable("orig_bm", 64);
    copy_bm = g.variable("copy_bm", 64);
    if (with_zero_pages) {
        zero_bm = g.variable("zero_bm", 64);
    }
    nr_copy_pages = g.variable("nr_copy_pages", 16);
    g.finish();

    // Bitmaps without bits first: their pages are needed to know what is saveable.
    g.bitmap(forbidden_bm, 1, GuestBuilder::kFrames, {});
    g.bitmap(free_bm, 1, GuestBuilder::kFrames, {});
    std::vector<std::uint64_t> own;
    for (const std::uint64_t map : {orig_bm, copy_bm, zero_bm}) {
        if (map != 0) {
            const auto pages = g.bitmap(map, 1, GuestBuilder::kFrames, {});
            own.insert(own.end(), pages.begin(), pages.end());
        }
    }
    const auto is_own = [&own](std::uint64_t pfn) {
        return std::find(own.begin(), own.end(), pfn) != own.end();
    };
    const auto saves = [&](std::uint64_t pfn) {
        const bool nosave = (pfn >= 160 && pfn < 256) || pfn == nosave_pfn || pfn == 1044;
        const bool free = (pfn >= 1048 && pfn < 1056) || pfn >= kFreeBlock;
        return pfn < kData + kDataPages && !nosave && !free && !is_own(pfn);
    };
    for (std::uint64_t pfn = 1; pfn < kData + kDataPages; ++pfn) {
        if (saves(pfn)) {
            saveable.push_back(pfn);
            bit(orig_bm, pfn, true);
        }
    }
    // Frames 1045 to 2015 that are neither free nor copies would be saveable too: all become
    // copies, as many as are not needed being spare.
    for (std::uint64_t pfn = kData + kDataPages + 1; pfn < kFreeBlock; ++pfn) {
        if (pfn < 1048 || pfn >= 1056) {
            own.push_back(pfn);
            bit(copy_bm, pfn, true);
            copy_pfns.push_back(pfn);
        }
    }
    for (std::uint64_t pfn = 1; pfn < GuestBuilder::kFrames; ++pfn) {
        const bool free = (pfn >= 1048 && pfn < 1056) || pfn >= kFreeBlock;
        if (is_own(pfn) || (pfn >= 160 && pfn < 256)) {
            bit(forbidden_bm, pfn, true);
        }
        if (is_own(pfn) || free) {
            bit(free_bm, pfn, true);
        }
    }
    if (with_zero_pages) {
        for (const std::uint64_t pfn : saveable) {
            if (pfn >= kData && pfn % 2 == 0) {
                zero_pfns.push_back(pfn);
                bit(zero_bm, pfn, true);
            }
        }
    }
    const std::uint64_t copies = saveable.size() - zero_pfns.size();
    g.put_u32(nr_copy_pages, static_cast<std::uint32_t>(copies));
    // copy_data_pages()
    std::size_t next = 0;
    for (const std::uint64_t pfn : saveable) {
        if (std::find(zero_pfns.begin(), zero_pfns.end(), pfn) == zero_pfns.end()) {
            std::memcpy(g.ram.data() + copy_pfns.at(next++) * kPageSize,
                        g.ram.data() + pfn * kPageSize, kPageSize);
        }
    }
}

void SnapshotGuest::bit(std::uint64_t bitmap, std::uint64_t pfn, bool value) {
    GuestBuilder& g = guest;
    const std::uint64_t w = g.word_size();
    const std::uint64_t tree = g.phys(g.get_word(bitmap));
    const std::uint64_t leaf = g.phys(g.get_word(tree + 4 * w));
    const std::uint64_t data = g.phys(g.get_word(leaf + 2 * w));
    const std::byte mask = std::byte{1} << ((pfn - 1) % 8);
    std::byte& place = g.ram[data + (pfn - 1) / 8];
    place = value ? place | mask : place & ~mask;
}

}  // namespace jumpback::memory::test
