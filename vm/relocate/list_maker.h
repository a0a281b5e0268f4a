// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random page lists of three kinds: as kimage builds them, any that keep the kernel's promises
// (sources and destinations disjoint or equal, none twice, list pages apart), and chained ones.
#pragma once

#include <cstdint>
#include <vector>

#include "model/kimage/entry.h"
#include "model/kimage/load_rules.h"
#include "vm/relocate/frame_pool.h"
#include "vm/relocate/random.h"

namespace jumpback::relocate_check {

struct MadeList {
    std::vector<kimage::Entry> entries;  // without links and DONE
    std::vector<Gpa> list_frames;
};

class ListMaker {
  public:
    ListMaker(Random& random, FramePool& pool, kimage::Word word)
        : random_(random), pool_(pool), word_(word) {}

    // `pages` moves; fewer if the pool cannot hold them.
    MadeList raw(std::uint64_t pages);
    // At most `pages` moves in a list that fills several list pages: most words are DESTINATIONs
    // without a SOURCE, and moves stand where one list page ends and the next begins.
    MadeList long_list(std::uint64_t pages);
    // `pages` moves between few frames, which meet each other several times.
    MadeList chained(std::uint64_t pages);
    // As kernels of `rules` build the list for random segments of `pages` pages together.
    MadeList kimage(std::uint64_t pages, const kimage::LoadRules& rules);

  private:
    void lone_destinations(std::vector<kimage::Entry>& entries, std::uint64_t count);
    void add_list_frames(MadeList& list);

    Random& random_;
    FramePool& pool_;
    kimage::Word word_;
};

}  // namespace jumpback::relocate_check
