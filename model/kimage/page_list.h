// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reads a page list (kimage->head and what it leads to) out of guest RAM, as swap_pages in
// arch/x86/kernel/relocate_kernel_{32,64}.S walks it, and says precisely where a list is malformed.
// A list is never trusted: reading ends, and memory used is a fixed share of the machine's RAM.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/address.h"
#include "model/kimage/entry.h"
#include "model/memory/guest_ram.h"
#include "model/result.h"

namespace jumpback::kimage {

// What is wrong with a list.
enum class Malformed : std::uint8_t {
    kUnknownWord,          // none of the four flags: the assembly would skip it, the C code stop
    kAmbiguousWord,        // several flags, or other bits below the page address
    kNoEnd,                // a zero word: no DONE where the kernel's own walk stops
    kRunsOffPage,          // the last word of a list page is neither INDIRECTION nor DONE
    kCycle,                // INDIRECTION to a list page that was read already
    kListPageOutOfRam,     // INDIRECTION to what is not RAM
    kHeadNoList,           // head is neither INDIRECTION nor DONE
    kSourceOutOfRam,       //
    kSourceAboveLimit,     // DecodeRules::source_limit
    kSourceTwice,          // a frame is source of two destinations
    kNoDestination,        // SOURCE before any DESTINATION
    kDestinationOutOfRam,  // reported at the SOURCE word that would write there
    kDestinationTwice,     // likewise
    kSourceIsDestination,  // source of one page, destination of another
    kListPageIsDestination,
    kListPageIsSource,
    kKeptFrameIsDestination,  // DecodeRules::kept
    kKeptFrameIsSource,
    kKeptFrameIsListPage,
    kLinkInsidePage,  // DecodeRules::kernel_layout
};
// A short name for tables and tests, e.g. "source-twice".
std::string_view name_of(Malformed kind);

struct Malformation {
    Malformed kind = Malformed::kUnknownWord;
    std::optional<Gpa> list_page;  // none: the head itself, or no single word
    std::uint64_t index = 0;       // of the word in its list page
    std::uint64_t raw = 0;         // that word
    std::string message;           // names the place too
};

// A frame that must stay itself while pages are moved: control page, swap page, page tables.
struct KeptFrame {
    Gpa frame;
    std::string name;
};

// Which of the promises that a sound kernel makes are held against the list, beyond what any walk
// needs. kimage_alloc_page() and kimage_alloc_normal_control_pages() are what keeps them.
struct DecodeRules {
    bool source_in_destinations = true;  // s == d, or s is nobody's destination
    bool list_pages_apart = true;        // list pages are neither destination nor source
    std::vector<KeptFrame> kept;         // neither destination, source nor list page
    // KEXEC_SOURCE_MEMORY_LIMIT: kimage_alloc_page() refuses frames above its frame.
    std::optional<std::uint64_t> source_limit;
    // A word must have exactly one flag and no bits 4 to 11. Off: as the assembly, which tests
    // DESTINATION, INDIRECTION, DONE, SOURCE in this order, masks with ~0xfff and skips the rest.
    bool strict_words = true;
    // Links stand in the last word of a list page only, as kimage_add_entry() puts them.
    bool kernel_layout = false;
    // Off: PageList::moves stays empty (moves are counted and checked all the same).
    bool keep_moves = true;
};

struct PageList {
    std::vector<Move> moves;       // in order of execution
    std::vector<Gpa> list_pages;   // in order of reading
    std::uint64_t move_count = 0;  // == moves.size() if they are kept
    std::uint64_t words = 0;       // read from list pages, links and DONE included
    std::uint64_t lone = 0;        // DESTINATION words without a SOURCE (zero-length segments)
};

struct Decoding {
    PageList list;  // if malformed: what came before the bad word
    std::optional<Malformation> malformation;
};

// `head` is image->head, flags included: the first argument of relocate_kernel. Words of 32 bits
// reach frames below 4 GiB only.
Decoding decode_or_explain(const memory::GuestRam& ram, std::uint64_t head, Word word,
                           const DecodeRules& rules = {});

// The same for callers that need a sound list: a malformation becomes an Error.
Result<PageList> decode(const memory::GuestRam& ram, std::uint64_t head, Word word,
                        const DecodeRules& rules = {});

}  // namespace jumpback::kimage
