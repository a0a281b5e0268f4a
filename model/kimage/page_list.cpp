// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/page_list.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "model/kimage/frame_set.h"
#include "model/kimage/source_block.h"
#include "model/memory/text.h"

namespace jumpback::kimage {
namespace {

using memory::GuestRam;
using memory::hex;

constexpr std::uint64_t kNoFrame = ~std::uint64_t{0};
constexpr std::uint64_t kFewMoves = std::uint64_t{1} << 14;
constexpr std::uint64_t kOffset = kPageSize - 1;
constexpr std::uint64_t kLineBytes = 64;  // of the host's caches
constexpr std::uint64_t kPrefetchBytes = 1024;

// Which flag the assembly acts on; 0: none.
constexpr std::uint64_t acting_flag(std::uint64_t raw) {
    for (const std::uint64_t flag : {kIndDestination, kIndIndirection, kIndDone, kIndSource}) {
        if ((raw & flag) != 0) {
            return flag;
        }
    }
    return 0;
}

template <typename Unit>
class Reader {
  public:
    Reader(const GuestRam& ram, const DecodeRules& rules)
        : ram_(ram),
          rules_(rules),
          numbers_(ram, Pfn{(std::numeric_limits<Unit>::max() >> kPageShift) + std::uint64_t{1}}),
          sources_(numbers_.frames()),
          destinations_(numbers_.frames()),
          list_pages_(numbers_.frames()) {
        if (rules.source_limit) {
            source_end_pfn_ = (*rules.source_limit >> kPageShift) + 1;
        }
    }

    Decoding read(std::uint64_t head) {
        const std::optional<Gpa> first = from_head(head);
        next_ = first;
        while (next_ && !bad_) {
            read_page(*next_);
        }
        if (!bad_ && first) {
            check_whole_list();
        }
        return {std::move(list_), std::move(bad_)};
    }

  private:
    static constexpr std::uint64_t kWords = kPageSize / sizeof(Unit);

    static std::uint64_t word_at(const std::byte* page, std::uint64_t index) {
        Unit value{};
        std::memcpy(&value, page + index * sizeof value, sizeof value);
        return value;
    }

    void fail(Malformed kind, std::uint64_t index, std::uint64_t raw, const std::string& what) {
        if (!bad_) {
            const Gpa page = list_.list_pages.back();
            bad_ = {kind, page, index, raw,
                    "list page " + hex(page.raw) + ", word " + std::to_string(index) + " (" +
                        hex(raw) + "): " + what};
        }
    }
    void fail_at_head(Malformed kind, std::uint64_t raw, const std::string& what) {
        bad_ = {kind, std::nullopt, 0, raw, "head (" + hex(raw) + "): " + what};
    }

    [[nodiscard]] std::optional<std::string> misshapen(std::uint64_t raw) const {
        if (!rules_.strict_words || (raw & kOffset) == acting_flag(raw)) {
            return std::nullopt;
        }
        return "has more bits below its page address than one of the flags 1, 2, 4, 8";
    }

    std::optional<Gpa> from_head(std::uint64_t head) {
        const std::uint64_t flag = acting_flag(head);
        if (flag != kIndIndirection && flag != kIndDone) {
            fail_at_head(Malformed::kHeadNoList, head,
                         "is neither INDIRECTION (2) nor DONE (4): no image was built");
        } else if (const auto text = misshapen(head)) {
            fail_at_head(Malformed::kAmbiguousWord, head, *text);
        } else if (flag == kIndIndirection) {
            const Gpa page = Entry{head}.page();
            if (numbers_.span_of(pfn_of(page).raw).frames != 0) {
                return page;
            }
            fail_at_head(Malformed::kListPageOutOfRam, head, "leads to what is not RAM");
        }
        return std::nullopt;
    }

    // List pages stand anywhere in RAM, so no CPU guesses the next one; its address stands at the
    // end of this one. Asks for its first lines, and for its own link.
    void prefetch_after(const std::byte* bytes) const {
        const Entry link{word_at(bytes, kWords - 1)};
        const std::byte* next =
            link.is_indirection() ? ram_.page_or_null(pfn_of(link.page())) : nullptr;
        if (next != nullptr) {
            __builtin_prefetch(next + kPageSize - 1);
            for (std::uint64_t at = 0; at < kPrefetchBytes; at += kLineBytes) {
                __builtin_prefetch(next + at);
            }
        }
    }

    // Reads one list page up to its link or DONE. `page` is RAM and was not read before.
    void read_page(Gpa page) {
        next_.reset();
        const std::byte* bytes = ram_.page_or_null(pfn_of(page));
        prefetch_after(bytes);
        list_.list_pages.push_back(page);
        const std::uint64_t pfn = pfn_of(page).raw;
        list_pages_.add(numbers_.span_of(pfn).number_of(pfn));
        std::uint64_t index = 0;
        while (!bad_ && index < kWords) {
            index += take_sources(bytes, index);
            if (bad_ || index == kWords) {
                break;
            }
            const bool goes_on = take_word(word_at(bytes, index), index);
            ++list_.words;
            if (!goes_on) {
                return;
            }
            ++index;
        }
        if (!bad_) {
            fail(Malformed::kRunsOffPage, kWords - 1, word_at(bytes, kWords - 1),
                 "is the last word of its page, and neither INDIRECTION nor DONE: the list runs "
                 "off its page");
        }
    }

    // The inner loop: as many plain SOURCE words as follow each other without anything remarkable.
    // What stops it is looked at by take_word(). Returns how many words it took.
    std::uint64_t take_sources(const std::byte* bytes, std::uint64_t index) {
        const FrameNumbers::Span to = destination_span();
        if (to.frames == 0) {
            return 0;
        }
        const std::uint64_t first = to.number_of(cursor_ >> kPageShift);
        const std::uint64_t room =
            std::min<std::uint64_t>(kWords - index, to.first_number + to.frames - first);
        std::uint64_t count = 0;
        while (count < room) {
            const std::uint64_t most = std::min(room - count, kBlockWords);
            const std::uint64_t at = index + count;
            const std::uint64_t destination = cursor_ + count * kPageSize;
            const bool whole = most == kBlockWords && is_known_block(bytes, at);
            const std::uint64_t taken = whole ? add_block(bytes, at, first + count, destination)
                                              : add_words(bytes, at, most, destination);
            count += taken;
            if (taken < most) {
                break;
            }
        }
        const std::uint64_t fresh = destinations_.add_range(first, count);
        for (std::uint64_t at = 0; rules_.keep_moves && at < fresh; ++at) {
            batch_[at] = {Gpa{cursor_ + at * kPageSize},
                          Gpa{word_at(bytes, index + at) - kIndSource}};
        }
        keep(fresh);
        list_.words += count;
        if (fresh < count) {
            destination_twice(Gpa{cursor_ + fresh * kPageSize}, index + fresh,
                              word_at(bytes, index + fresh));
        }
        cursor_ += count * kPageSize;
        run_is_empty_ = run_is_empty_ && count == 0;
        return count;
    }

    // A block of plain SOURCE words whose frames are where the last ones were found.
    bool is_known_block(const std::byte* bytes, std::uint64_t index) {
        const FrameNumbers::Span from = source_span_;
        const std::uint64_t end = std::min(from.first_pfn + from.frames, source_end_pfn_);
        if (from.first_pfn >= end) {
            return false;
        }
        block_ = look_at_block<Unit>(bytes + index * sizeof(Unit), from.first_pfn << kPageShift,
                                     end << kPageShift);
        return block_.plain;
    }

    // Adds the sources of the block that was looked at, up to the first that was there before.
    std::uint64_t add_block(const std::byte* bytes, std::uint64_t index, std::uint64_t to_number,
                            std::uint64_t destination) {
        const FrameNumbers::Span from = source_span_;
        const std::uint64_t first = word_at(bytes, index);
        if (block_.rising) {
            const std::uint64_t taken =
                sources_.add_range(from.number_of(first >> kPageShift), kBlockWords);
            in_place_ += first - kIndSource == destination ? taken : 0;
            return taken;
        }
        std::uint64_t taken = 0;
        while (taken < kBlockWords &&
               sources_.add(from.number_of(word_at(bytes, index + taken) >> kPageShift))) {
            ++taken;
        }
        // A move in place would have put one of the destinations among the sources.
        if (sources_.has_any(to_number, taken)) {
            for (std::uint64_t at = 0; at < taken; ++at) {
                const std::uint64_t source = word_at(bytes, index + at) - kIndSource;
                in_place_ += source == destination + at * kPageSize ? 1 : 0;
            }
        }
        return taken;
    }

    // The same, word by word, for any words: up to the first that take_word() must look at.
    std::uint64_t add_words(const std::byte* bytes, std::uint64_t index, std::uint64_t count,
                            std::uint64_t destination) {
        FrameNumbers::Span from = source_span_;
        std::uint64_t taken = 0;
        for (; taken < count; ++taken) {
            const std::uint64_t raw = word_at(bytes, index + taken);
            const std::uint64_t pfn = raw >> kPageShift;
            if ((raw & kOffset) != kIndSource || pfn >= source_end_pfn_) {
                break;
            }
            if (!from.holds(pfn)) {
                const FrameNumbers::Span other = numbers_.span_of(pfn);
                if (other.frames == 0) {
                    break;
                }
                from = other;
            }
            if (!sources_.add(from.number_of(pfn))) {
                break;
            }
            in_place_ += raw - kIndSource == destination + taken * kPageSize ? 1 : 0;
        }
        source_span_ = from;
        return taken;
    }

    void keep(std::uint64_t count) {
        list_.move_count += count;
        if (!rules_.keep_moves || count == 0) {
            return;
        }
        std::vector<Move>& moves = list_.moves;
        if (moves.capacity() - moves.size() < count) {
            // Sources are distinct frames, so there are never more moves than frames. A small list
            // takes little; beyond that one step, since memory not written to costs nothing.
            moves.reserve(moves.size() + count <= kFewMoves ? kFewMoves : numbers_.frames());
        }
        moves.insert(moves.end(), batch_.begin(),
                     batch_.begin() + static_cast<std::ptrdiff_t>(count));
    }

    // The stretch of RAM that the write cursor stands in; empty if it stands in none.
    FrameNumbers::Span destination_span() {
        if (cursor_ == kNoFrame) {
            return {};
        }
        const std::uint64_t pfn = cursor_ >> kPageShift;
        if (!destination_span_.holds(pfn)) {
            destination_span_ = numbers_.span_of(pfn);
        }
        return destination_span_;
    }

    // Anything but a SOURCE word that take_sources() could take. False: this page is done.
    bool take_word(std::uint64_t raw, std::uint64_t index) {
        const std::uint64_t flag = acting_flag(raw);
        if (flag == 0) {
            return take_flagless(raw, index);
        }
        if (const auto text = misshapen(raw)) {
            fail(Malformed::kAmbiguousWord, index, raw, *text);
            return false;
        }
        if (flag == kIndDestination) {
            count_lone();
            cursor_ = raw & ~kOffset;
            run_is_empty_ = true;
            return true;
        }
        if (flag == kIndSource) {
            take_odd_source(raw, index);
            return true;
        }
        if (flag == kIndIndirection) {
            follow(raw, index);
            return false;
        }
        count_lone();
        return false;
    }

    bool take_flagless(std::uint64_t raw, std::uint64_t index) {
        if (!rules_.strict_words) {
            return true;
        }
        if (raw == 0) {
            fail(Malformed::kNoEnd, index, raw,
                 "is empty before any DONE: the list was never terminated");
        } else {
            fail(Malformed::kUnknownWord, index, raw, "has none of the flags 1, 2, 4, 8");
        }
        return false;
    }

    void follow(std::uint64_t raw, std::uint64_t index) {
        const Gpa page = Entry{raw}.page();
        const std::uint64_t pfn = pfn_of(page).raw;
        const FrameNumbers::Span span = numbers_.span_of(pfn);
        if (span.frames == 0) {
            fail(Malformed::kListPageOutOfRam, index, raw, "leads to what is not RAM");
        } else if (list_pages_.has(span.number_of(pfn))) {
            fail(Malformed::kCycle, index, raw,
                 "leads back to a list page that was read already: the list has no end");
        } else if (rules_.kernel_layout && index != kWords - 1) {
            fail(Malformed::kLinkInsidePage, index, raw,
                 "is a link, but not the last word of its page");
        } else {
            next_ = page;
        }
    }

    // A SOURCE word that stopped take_sources(): most often an error. Else it is one with several
    // flags or stray bits, which are allowed here.
    void take_odd_source(std::uint64_t raw, std::uint64_t index) {
        const Gpa source = Entry{raw}.page();
        const std::uint64_t pfn = pfn_of(source).raw;
        const FrameNumbers::Span from = numbers_.span_of(pfn);
        const FrameNumbers::Span to = destination_span();
        if (cursor_ == kNoFrame) {
            fail(Malformed::kNoDestination, index, raw, "is a SOURCE before any DESTINATION");
        } else if (from.frames == 0) {
            fail(Malformed::kSourceOutOfRam, index, raw, "has a source that is not RAM");
        } else if (pfn >= source_end_pfn_) {
            fail(Malformed::kSourceAboveLimit, index, raw,
                 "has a source above the limit of " + hex(*rules_.source_limit));
        } else if (to.frames == 0) {
            fail(Malformed::kDestinationOutOfRam, index, raw,
                 "moves to " + hex(cursor_) + ", which is not RAM");
        } else if (!sources_.add(from.number_of(pfn))) {
            fail(Malformed::kSourceTwice, index, raw,
                 "has source " + hex(source.raw) + ", which an earlier word has too");
        } else if (destinations_.add_range(to.number_of(cursor_ >> kPageShift), 1) == 0) {
            destination_twice(Gpa{cursor_}, index, raw);
        } else {
            batch_[0] = {Gpa{cursor_}, source};
            in_place_ += source.raw == cursor_ ? 1 : 0;
            keep(1);
            run_is_empty_ = false;
            cursor_ += kPageSize;
        }
    }

    void destination_twice(Gpa destination, std::uint64_t index, std::uint64_t raw) {
        fail(Malformed::kDestinationTwice, index, raw,
             "moves to " + hex(destination.raw) + ", to which an earlier word moves too");
    }

    void count_lone() { list_.lone += cursor_ != kNoFrame && run_is_empty_ ? 1 : 0; }

    [[nodiscard]] bool is_in(const FrameSet& set, Gpa frame) const {
        const std::uint64_t pfn = pfn_of(frame).raw;
        const FrameNumbers::Span span = numbers_.span_of(pfn);
        return span.frames != 0 && set.has(span.number_of(pfn));
    }

    // What can only be told once all destinations are known.
    void check_whole_list() {
        for (const KeptFrame& kept : rules_.kept) {
            const Pfn pfn = pfn_of(kept.frame);
            const std::string who = kept.name + " " + hex(kept.frame.raw);
            if (is_in(list_pages_, kept.frame)) {
                bad_ = {Malformed::kKeptFrameIsListPage, kept.frame, 0, 0,
                        who + " is a page of the list itself"};
                return;
            }
            if (is_in(destinations_, kept.frame)) {
                blame(Malformed::kKeptFrameIsDestination, who + " is the destination of this word",
                      [&](const Move& move) { return pfn_of(move.destination) == pfn; });
                return;
            }
            if (is_in(sources_, kept.frame)) {
                blame(Malformed::kKeptFrameIsSource, who + " is the source of this word",
                      [&](const Move& move) { return pfn_of(move.source) == pfn; });
                return;
            }
        }
        if (rules_.list_pages_apart && list_pages_.in_common(destinations_) != 0) {
            blame(Malformed::kListPageIsDestination, "moves to a page of the list itself",
                  [&](const Move& move) { return is_in(list_pages_, move.destination); });
            return;
        }
        if (rules_.list_pages_apart && list_pages_.in_common(sources_) != 0) {
            blame(Malformed::kListPageIsSource, "has a page of the list itself as source",
                  [&](const Move& move) { return is_in(list_pages_, move.source); });
            return;
        }
        // Every move in place puts its frame into both sets, and no frame is in either twice; what
        // both have beyond those is a source that is another page's destination.
        if (rules_.source_in_destinations && sources_.in_common(destinations_) != in_place_) {
            blame(Malformed::kSourceIsDestination, "has a source that is another destination",
                  [&](const Move& move) {
                      return move.source != move.destination && is_in(destinations_, move.source);
                  });
        }
    }

    // Reads the list, which is sound so far, once more for the first word whose move is guilty.
    template <typename Guilty>
    void blame(Malformed kind, const std::string& what, Guilty guilty) {
        std::uint64_t cursor = 0;
        for (const Gpa page : list_.list_pages) {
            const std::byte* bytes = ram_.page_or_null(pfn_of(page));
            for (std::uint64_t index = 0; index < kWords; ++index) {
                const std::uint64_t raw = word_at(bytes, index);
                const std::uint64_t flag = acting_flag(raw);
                if (flag == kIndIndirection || flag == kIndDone) {
                    break;
                }
                if (flag == kIndDestination) {
                    cursor = raw & ~kOffset;
                } else if (flag == kIndSource) {
                    const Move move{Gpa{cursor}, Entry{raw}.page()};
                    cursor += kPageSize;
                    if (guilty(move)) {
                        bad_ = {kind, page, index, raw,
                                "list page " + hex(page.raw) + ", word " + std::to_string(index) +
                                    " (" + hex(raw) + ", destination " + hex(move.destination.raw) +
                                    "): " + what};
                        return;
                    }
                }
            }
        }
    }

    const GuestRam& ram_;
    const DecodeRules& rules_;
    FrameNumbers numbers_;
    FrameSet sources_, destinations_, list_pages_;
    FrameNumbers::Span source_span_, destination_span_;  // where the last ones were found
    std::uint64_t source_end_pfn_ = kNoFrame;            // one past the last that may be a source
    SourceBlock block_;
    std::uint64_t cursor_ = kNoFrame;  // the next destination, bytes
    bool run_is_empty_ = false;        // no SOURCE since the last DESTINATION
    std::uint64_t in_place_ = 0;       // moves with source == destination
    std::optional<Gpa> next_;
    std::array<Move, kWords> batch_{};
    PageList list_;
    std::optional<Malformation> bad_;
};

}  // namespace

Decoding decode_or_explain(const GuestRam& ram, std::uint64_t head, Word word,
                           const DecodeRules& rules) {
    return word == Word::k32 ? Reader<std::uint32_t>(ram, rules).read(head)
                             : Reader<std::uint64_t>(ram, rules).read(head);
}

Result<PageList> decode(const GuestRam& ram, std::uint64_t head, Word word,
                        const DecodeRules& rules) {
    Decoding decoding = decode_or_explain(ram, head, word, rules);
    if (decoding.malformation) {
        return Error{"page list", std::move(decoding.malformation->message)};
    }
    return std::move(decoding.list);
}

}  // namespace jumpback::kimage
