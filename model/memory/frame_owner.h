// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whose a page frame is, in a few words for people, from its struct page: "free (buddy, order 3)",
// "slab", "anonymous", "page cache", "reserved", "page table", "compound tail of 0x1234: slab" …
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/memory/frame_table.h"
#include "model/memory/page_types.h"

namespace jumpback::memory {

class FrameOwners {
  public:
    // Both are borrowed.
    FrameOwners(const FrameTable& frames, const PageTypes& types)
        : frames_(&frames), types_(&types) {}

    // Never fails: what cannot be read is said in the text.
    [[nodiscard]] std::string describe(Pfn pfn) const;

  private:
    [[nodiscard]] std::string describe_page(Pfn pfn, const PageStruct& page, bool follow) const;
    // A free block's frames but the first have no type of their own.
    [[nodiscard]] bool inside_free_block(Pfn pfn, std::string& text) const;

    const FrameTable* frames_;
    const PageTypes* types_;
};

// `count` frames from `start` on with the same owner text.
struct OwnerRun {
    Pfn start;
    std::uint64_t count = 0;
    std::string owner;
};

// All frames below `end`, run-length encoded.
std::vector<OwnerRun> owner_runs(const FrameOwners& owners, Pfn end);

}  // namespace jumpback::memory
