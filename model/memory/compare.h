// SPDX-License-Identifier: GPL-2.0-or-later
//
// Byte-exact comparison of memory, page by page: never a sum or a hash. What may differ is handed
// in as ranges of guest physical memory, each with the number of the rule that allows it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "model/address.h"
#include "model/memory/guest_ram.h"
#include "model/result.h"

namespace jumpback::memory {

// Bytes [gpa, gpa + length) may differ by rule `rule` (the caller's own number). `mask` says which
// bits of every byte may: 0xff all of them. A page-table walker's accessed bit, for one, is 0x20.
struct ExceptionRange {
    Gpa gpa;
    Bytes length;
    std::uint32_t rule = 0;
    std::uint8_t mask = 0xff;
};

// One page with at least one difference that no rule allows.
struct PageDifference {
    Pfn pfn;
    std::uint32_t offset = 0;         // of the first such byte, in the page
    std::uint32_t differing = 0;      // how many such bytes the page has
    std::vector<std::byte> expected;  // at most 16 bytes from `offset` on, not past the page's end
    std::vector<std::byte> found;
};

struct Comparison {
    std::uint64_t compared = 0;  // pages = equal + excused + different
    std::uint64_t equal = 0;     // pages without any difference
    std::uint64_t excused = 0;   // pages where every differing byte is allowed by a rule
    std::uint64_t different =
        0;  // pages with differences that no rule allows: all of them, listed or not
    std::vector<PageDifference>
        differences;  // the first ones in pfn order of the input, at most `limit`
    std::map<std::uint32_t, std::uint64_t>
        rule_pages;  // rule -> pages in which it was needed; 0 uses are kept
};

struct CompareOptions {
    std::span<const ExceptionRange> exceptions{};
    std::size_t limit = 64;  // of listed differences
};

// Pages of an image: `data` holds 4096 bytes for each entry of `pfns`, in order; entries whose byte
// in `zero` is not 0 stand for pages full of zeros. `data` may hold a page for these too (then it
// has pfns.size() pages) or leave them out; its size says which. `zero` may be empty: no such
// pages.
struct ImagePages {
    std::span<const std::uint64_t> pfns;
    std::span<const std::byte> data;
    std::span<const std::uint8_t> zero{};
};

// Two captures of the same machine. Fails if they do not have the same frames.
Result<Comparison> compare_ram(const GuestRam& expected, const GuestRam& found,
                               const CompareOptions& options);

// Every page of the image against the frame of the same number. Fails if sizes do not fit together
// or a page frame of the image is not RAM.
Result<Comparison> compare_image(const ImagePages& image, const GuestRam& ram,
                                 const CompareOptions& options);

// Frame by frame from two lists of equal length in one RAM: expected[i] against found[i].
// Differences are reported under the expected frame, and so are exceptions.
Result<Comparison> compare_frames(const GuestRam& ram, std::span<const std::uint64_t> expected,
                                  std::span<const std::uint64_t> found,
                                  const CompareOptions& options);

}  // namespace jumpback::memory
