// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/page_list.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "model/kimage/frame_set.h"
#include "model/memory/text.h"

namespace jumpback::kimage {
namespace {

using memory::GuestRam;
using memory::hex;

constexpr std::uint64_t kNoFrame = ~std::uint64_t{0};
constexpr std::uint64_t kFewMoves = std::uint64_t{1} << 14;
constexpr std::uint64_t kOffset = kPageSize - 1;

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
            last_source_pfn_ = *rules.source_limit >> kPageShift;
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

    // Reads one list page up to its link or DONE. `page` is RAM and was not read before.
    void read_page(Gpa page) {
        next_.reset();
        const std::byte* bytes = ram_.page_or_null(pfn_of(page));
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
        const std::uint64_t first = cursor_ >> kPageShift;
        const std::uint64_t end =
            index + std::min<std::uint64_t>(kWords - index, to.first_pfn + to.frames - first);
        FrameNumbers::Span from = source_span_;
        std::uint64_t at = index;
        std::uint64_t destination = cursor_;
        for (; at < end; ++at, destination += kPageSize) {
            const std::uint64_t raw = word_at(bytes, at);
            const std::uint64_t pfn = raw >> kPageShift;
            if ((raw & kOffset) != kIndSource || pfn > last_source_pfn_) {
                break;
            }
            if (!from.holds(pfn)) {
                from = numbers_.span_of(pfn);
                if (from.frames == 0) {
                    break;
                }
            }
            if (!sources_.add(from.number_of(pfn))) {
                break;
            }
            batch_[at - index] = {Gpa{destination}, Gpa{raw - kIndSource}};
            in_place_ += raw - kIndSource == destination ? 1 : 0;
        }
        source_span_ = from;
        const std::uint64_t count = at - index;
        const std::uint64_t fresh = destinations_.add_range(to.number_of(first), count);
        keep(fresh);
        list_.words += count;
        cursor_ = destination;
        run_is_empty_ = run_is_empty_ && count == 0;
        if (fresh < count) {
            destination_twice(batch_[fresh].destination, index + fresh,
                              word_at(bytes, index + fresh));
        }
        return count;
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
        } else if (pfn > last_source_pfn_) {
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
    std::uint64_t last_source_pfn_ = kNoFrame;
    std::uint64_t cursor_ = kNoFrame;  // the next destination, bytes
    bool run_is_empty_ = false;        // no SOURCE since the last DESTINATION
    std::uint64_t in_place_ = 0;       // moves with source == destination
    std::optional<Gpa> next_;
    std::array<Move, kWords> batch_{};
    PageList list_;
    std::optional<Malformation> bad_;
};

}  // namespace

std::string_view name_of(Malformed kind) {
    switch (kind) {
        case Malformed::kUnknownWord:
            return "unknown-word";
        case Malformed::kAmbiguousWord:
            return "ambiguous-word";
        case Malformed::kNoEnd:
            return "no-end";
        case Malformed::kRunsOffPage:
            return "runs-off-page";
        case Malformed::kCycle:
            return "cycle";
        case Malformed::kListPageOutOfRam:
            return "list-page-out-of-ram";
        case Malformed::kHeadNoList:
            return "head-no-list";
        case Malformed::kSourceOutOfRam:
            return "source-out-of-ram";
        case Malformed::kSourceAboveLimit:
            return "source-above-limit";
        case Malformed::kSourceTwice:
            return "source-twice";
        case Malformed::kNoDestination:
            return "no-destination";
        case Malformed::kDestinationOutOfRam:
            return "destination-out-of-ram";
        case Malformed::kDestinationTwice:
            return "destination-twice";
        case Malformed::kSourceIsDestination:
            return "source-is-destination";
        case Malformed::kListPageIsDestination:
            return "list-page-is-destination";
        case Malformed::kListPageIsSource:
            return "list-page-is-source";
        case Malformed::kKeptFrameIsDestination:
            return "kept-frame-is-destination";
        case Malformed::kKeptFrameIsSource:
            return "kept-frame-is-source";
        case Malformed::kKeptFrameIsListPage:
            return "kept-frame-is-list-page";
        case Malformed::kLinkInsidePage:
            return "link-inside-page";
    }
    return "unknown";
}

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
