// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/relocate/case_generator.h"

#include <algorithm>
#include <set>

#include "model/relocate/cpu_bits.h"
#include "vm/relocate/contents.h"
#include "vm/relocate/frame_pool.h"
#include "vm/relocate/list_maker.h"
#include "vm/relocate/random.h"

namespace jumpback::relocate_check {
namespace {

using kimage::Entry;

// One in so many cases is one of these; the machine copies about 100 MB/s.
constexpr std::uint64_t kManyPagesShare = 2000;
constexpr std::uint64_t kLongListShare = 50;
constexpr std::uint64_t kChainedShare = 32;
constexpr std::uint64_t kPlainShare = 4;  // plain kexec

// Numbers of the callee's contents, above those of frames.
constexpr std::uint64_t kCalleeNumbers = Contents::kNumbers / 2;

// What a callee may leave in the flags: not IF, TF or DF, and no virtual-8086 mode.
constexpr std::uint64_t kFreeFlags = relocate::kStatusFlags | 0x3000 /* IOPL */ | 0x4000 /* NT */ |
                                     0x40000 /* AC */ | 0x200000 /* ID */;

struct Size {
    enum Kind { kOrdinary, kLongList, kManyPages, kChained } kind = kOrdinary;
    std::uint64_t pages = 0;
};

Size pick_size(Random& random, std::uint64_t most) {
    const std::uint64_t small = std::min(most, kSmallPages);
    if (most > kSmallPages && random.one_in(kManyPagesShare)) {
        return {Size::kManyPages, random.between(kSmallPages + 1, most)};
    }
    if (random.one_in(kLongListShare)) {
        return {Size::kLongList, small};
    }
    if (random.one_in(kChainedShare)) {
        return {Size::kChained, std::min<std::uint64_t>(random.below(small + 1), 8)};
    }
    // Small lists show what large ones show, sooner.
    switch (random.below(16)) {
        case 0:
            return {Size::kOrdinary, 0};
        case 1:
        case 2:
        case 3:
            return {Size::kOrdinary, std::min<std::uint64_t>(1, small)};
        case 4:
        case 5:
        case 6:
        case 7:
        case 8:
            return {Size::kOrdinary, std::min<std::uint64_t>(random.between(2, 3), small)};
        case 9:
        case 10:
        case 11:
        case 12:
            return {Size::kOrdinary, std::min<std::uint64_t>(random.between(4, 7), small)};
        default:
            return {Size::kOrdinary, random.below(small + 1)};
    }
}

std::uint64_t interesting(Random& random, kimage::Word word) {
    std::uint64_t value = random.next();
    switch (random.below(8)) {
        case 0:
            value = 0;
            break;
        case 1:
            value = ~std::uint64_t{0};
            break;
        case 2:
            value &= 0xff;
            break;
        default:
            break;
    }
    return word == kimage::Word::k32 ? value & 0xffffffff : value;
}

void leave_registers(Random& random, kimage::Word word, relocate::CpuState& cpu) {
    const unsigned count = word == kimage::Word::k32 ? 8 : relocate::kGprs;
    for (unsigned number = 0; number < count; ++number) {
        cpu.gpr[number] = interesting(random, word);
    }
    cpu.rflags = relocate::kFlagReserved | (random.next() & kFreeFlags);
    // Neither table is looked at on the way back, so anything goes.
    for (relocate::DescriptorTable* table : {&cpu.gdtr, &cpu.idtr}) {
        table->base = interesting(random, word);
        table->limit = static_cast<std::uint16_t>(random.next());
    }
}

// A stretch of one page: all of it, one byte, its first or last bytes, anything.
PageChange change_of(Random& random, Gpa page, std::uint64_t number) {
    std::uint64_t offset = 0;
    std::uint64_t length = kPageSize;
    switch (random.below(4)) {
        case 0:
            break;
        case 1:
            offset = random.below(kPageSize);
            length = 1;
            break;
        case 2:
            length = random.between(1, 64);
            offset = random.one_in(2) ? 0 : kPageSize - length;
            break;
        default:
            offset = random.below(kPageSize);
            length = random.between(1, kPageSize - offset);
            break;
    }
    return {Gpa{page.raw + offset}, Bytes{length}, number};
}

class Maker {
  public:
    Maker(const relocate::Generation& generation, const kimage::LoadRules& rules,
          const unicorn::Board& board, Random& random, Case& made)
        : word_(generation.word()),
          rules_(rules),
          board_(board),
          random_(random),
          pool_(board.arena, random),
          made_(made) {}

    void list(const Size& size) {
        ListMaker maker(random_, pool_, word_);
        MadeList list;
        if (size.kind == Size::kLongList) {
            made_.origin = ListOrigin::kRaw;
            list = maker.long_list(size.pages);
        } else if (size.kind == Size::kChained) {
            made_.origin = ListOrigin::kChained;
            list = maker.chained(size.pages);
        } else if (random_.one_in(2)) {
            made_.origin = ListOrigin::kKimage;
            list = maker.kimage(size.pages, rules_);
        } else {
            made_.origin = ListOrigin::kRaw;
            list = maker.raw(size.pages);
        }
        if (list.entries.empty()) {
            made_.origin = ListOrigin::kEmpty;
        }
        made_.entries = std::move(list.entries);
        made_.list_frames = std::move(list.list_frames);
    }

    void call() {
        made_.preserve = !random_.one_in(kPlainShare);
        made_.host_memory_encryption = random_.one_in(4);
        made_.cpu_has_pae = !random_.one_in(4);
        made_.salt = random_.next();
        made_.start = place();
    }

    void callee() {
        Callee& callee = made_.callee;
        const std::uint64_t kind = random_.below(4);
        callee.kind = kind < 2    ? CalleeKind::kPushes
                      : kind == 2 ? CalleeKind::kSlot
                                  : CalleeKind::kPlain;
        callee.next_entry = place();
        leave_registers(random_, word_, callee.cpu);
        change_memory();
    }

  private:
    // An address to jump to: mostly in a destination, as kernels are loaded.
    std::uint64_t place() {
        Gpa page = pool_.any();
        if (!made_.entries.empty() && !random_.one_in(4)) {
            const Entry entry = made_.entries[random_.below(made_.entries.size())];
            if (entry.is_destination()) {
                page = entry.page();
            }
        }
        return page.raw + (random_.one_in(2) ? 0 : random_.below(kPageSize));
    }

    // Destinations hold the callee, sources what it displaced: both are its own, as is memory that
    // no list names. List pages are not.
    void change_memory() {
        const std::set<Gpa> kept(made_.list_frames.begin(), made_.list_frames.end());
        std::vector<Gpa> pages;
        std::uint64_t cursor = 0;
        for (const Entry& entry : made_.entries) {
            if (entry.is_destination()) {
                cursor = entry.page().raw;
            } else {
                if (random_.one_in(2)) {
                    pages.emplace_back(cursor);
                }
                if (random_.one_in(4)) {
                    pages.push_back(entry.page());
                }
                cursor += kPageSize;
            }
        }
        for (std::uint64_t count = random_.below(4); count > 0; --count) {
            pages.push_back(pool_.any());
        }
        std::uint64_t number = kCalleeNumbers;
        for (const Gpa page : pages) {
            if (!kept.contains(page)) {
                made_.callee.changes.push_back(change_of(random_, page, number++));
            }
        }
        // Its stack: the swap page below the few words that calls and pushes need.
        if (random_.one_in(2)) {
            const std::uint64_t length = random_.between(1, kPageSize - 64);
            made_.callee.changes.push_back({board_.swap_page, Bytes{length}, number});
        }
    }

    kimage::Word word_;
    const kimage::LoadRules& rules_;
    const unicorn::Board& board_;
    Random& random_;
    FramePool pool_;
    Case& made_;
};

}  // namespace

std::string_view name_of(ListOrigin origin) {
    switch (origin) {
        case ListOrigin::kEmpty:
            return "empty";
        case ListOrigin::kKimage:
            return "kimage";
        case ListOrigin::kRaw:
            return "raw";
        case ListOrigin::kChained:
            return "chained";
    }
    return "?";
}

std::string_view name_of(CalleeKind kind) {
    switch (kind) {
        case CalleeKind::kPushes:
            return "pops, pushes its next entry, jumps";
        case CalleeKind::kSlot:
            return "writes the slot, returns";
        case CalleeKind::kPlain:
            return "plain ret";
    }
    return "?";
}

Case CaseGenerator::make(std::uint64_t index) const {
    Case made;
    made.seed = options_.seed;
    made.index = index;
    Random random(options_.seed, index);
    const Size size = pick_size(random, options_.pages);
    made.board = static_cast<unsigned>(random.below(unicorn::kBoards));
    made.large = size.kind == Size::kManyPages;
    Maker maker(generation_, rules_, boards_(made.board, made.large), random, made);
    maker.list(size);
    maker.call();
    maker.callee();
    return made;
}

}  // namespace jumpback::relocate_check
