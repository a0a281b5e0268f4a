// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/frame_owner.h"

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

constexpr unsigned kMaxOrder = 20;

// page->mapping, low bits (include/linux/page-flags.h): 1 anonymous, 2 movable driver page, 3 KSM.
constexpr std::uint64_t kMappingAnon = 1;
constexpr std::uint64_t kMappingMovable = 2;
constexpr std::uint64_t kMappingFlags = 3;

const char* name_of_type(PageType type) {
    switch (type) {
        case PageType::kOffline:
            return "offline";
        case PageType::kTable:
            return "page table";
        case PageType::kGuard:
            return "guard page";
        case PageType::kHugetlb:
            return "huge page (hugetlb)";
        case PageType::kSlab:
            return "slab";
        case PageType::kZsmalloc:
            return "zsmalloc";
        case PageType::kUnaccepted:
            return "unaccepted memory";
        case PageType::kLargeKmalloc:
            return "large kmalloc";
        case PageType::kNetPool:
            return "network page pool";
        case PageType::kNone:
        case PageType::kBuddy:
        case PageType::kOther:
            break;
    }
    return "typed page of an unknown kind";
}

}  // namespace

std::string FrameOwners::describe(Pfn pfn) const {
    if (!frames_->valid(pfn)) {
        return "not in the kernel's memory map";
    }
    const Result<PageStruct> page = frames_->page(pfn);
    if (!page) {
        return "unknown: struct page not readable";
    }
    return describe_page(pfn, *page, true);
}

std::string FrameOwners::describe_page(Pfn pfn, const PageStruct& page, bool follow) const {
    const PageType type = types_->type_of(page);
    if (type == PageType::kBuddy) {
        return "free (buddy, order " + std::to_string(page.private_) + ")";
    }
    std::string free_text;
    if (page.refcount == 0 && inside_free_block(pfn, free_text)) {
        return free_text;
    }
    if (types_->poisoned(page)) {
        return "hardware-poisoned";
    }
    // Before compound tails: struct page of reserved frames may never have been filled in
    // otherwise.
    if (types_->reserved(page)) {
        return "reserved";
    }
    if ((page.compound_head & 1) != 0 && follow) {
        const Result<Pfn> head = frames_->frame_of(Gva{page.compound_head - 1});
        if (head && *head < pfn) {
            const Result<PageStruct> head_page = frames_->page(*head);
            if (head_page) {
                return "compound tail of " + hex(head->raw) + ": " +
                       describe_page(*head, *head_page, false);
            }
        }
        return "compound tail";
    }
    if (type != PageType::kNone) {
        return name_of_type(type);
    }
    const std::uint64_t mapping_flags = page.mapping & kMappingFlags;
    if (mapping_flags == kMappingFlags) {
        return "merged anonymous (KSM)";
    }
    if (mapping_flags == kMappingAnon) {
        return types_->swap_cache(page) ? "anonymous, in swap cache" : "anonymous";
    }
    if (mapping_flags == kMappingMovable) {
        return "movable driver page";
    }
    if (page.mapping != 0 && types_->on_lru(page)) {
        return types_->swap_backed(page) ? "page cache (tmpfs or shared memory)" : "page cache";
    }
    if (page.refcount == 0) {
        return "not in use (per-CPU free list or tail of an allocation)";
    }
    return types_->head(page) ? "kernel allocation (compound)" : "kernel allocation";
}

bool FrameOwners::inside_free_block(Pfn pfn, std::string& text) const {
    for (unsigned order = 1; order <= kMaxOrder; ++order) {
        const Pfn first{pfn.raw & ~((std::uint64_t{1} << order) - 1)};
        if (first == pfn) {
            continue;
        }
        const Result<PageStruct> page = frames_->page(first);
        if (!page) {
            return false;
        }
        if (types_->type_of(*page) == PageType::kBuddy) {
            if (page->private_ >= order && page->private_ <= kMaxOrder &&
                pfn.raw - first.raw < std::uint64_t{1} << page->private_) {
                text = "free (buddy, order " + std::to_string(page->private_) + ")";
                return true;
            }
            return false;
        }
    }
    return false;
}

std::vector<OwnerRun> owner_runs(const FrameOwners& owners, Pfn end) {
    std::vector<OwnerRun> runs;
    for (std::uint64_t pfn = 0; pfn < end.raw; ++pfn) {
        std::string owner = owners.describe(Pfn{pfn});
        if (!runs.empty() && runs.back().owner == owner) {
            ++runs.back().count;
        } else {
            runs.push_back({Pfn{pfn}, 1, std::move(owner)});
        }
    }
    return runs;
}

}  // namespace jumpback::memory
