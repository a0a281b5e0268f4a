// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/tests/slow_reader.h"

#include <cstring>
#include <set>

#include "model/memory/text.h"

namespace jumpback::kimage::test {
namespace {

class Slow {
  public:
    Slow(const memory::GuestRam& ram, Word word, const DecodeRules& rules)
        : ram_(ram), word_(word), rules_(rules) {}

    SlowReading read(std::uint64_t head) {
        if ((head & kIndIndirection) == 0 || (head & kIndDestination) != 0) {
            const bool done = (head & kIndDone) != 0 && (head & kIndDestination) == 0;
            if (!done) {
                out_.kind = Malformed::kHeadNoList;
            } else if (rules_.strict_words && (head & 0xfff) != kIndDone) {
                out_.kind = Malformed::kAmbiguousWord;
            }
            return out_;
        }
        if (rules_.strict_words && (head & 0xfff) != kIndIndirection) {
            out_.kind = Malformed::kAmbiguousWord;
            return out_;
        }
        if (!is_ram(head)) {
            out_.kind = Malformed::kListPageOutOfRam;
            return out_;
        }
        walk(page(head));
        if (!out_.kind) {
            look_at_all();
        }
        return out_;
    }

  private:
    static std::uint64_t page(std::uint64_t raw) { return raw & ~std::uint64_t{0xfff}; }
    [[nodiscard]] bool is_ram(std::uint64_t address) const {
        const bool reachable = word_ == Word::k64 || address <= 0xffff'ffff;
        return reachable && ram_.has_frame(pfn_of(Gpa{address}));
    }
    [[nodiscard]] std::uint64_t word_at(std::uint64_t address) const {
        std::uint64_t raw = 0;
        std::memcpy(&raw, ram_.page_or_null(pfn_of(Gpa{address})) + address % kPageSize,
                    bytes_of(word_));
        return raw;
    }
    void blame(Malformed kind, std::uint64_t at) {
        out_.kind = kind;
        out_.list_page = Gpa{page(at)};
        out_.index = at % kPageSize / bytes_of(word_);
    }

    void walk(std::uint64_t at) {
        std::set<std::uint64_t> seen = {at};
        out_.list_pages.push_back(Gpa{at});
        std::optional<std::uint64_t> cursor;
        bool empty = false;  // the run has no source yet
        while (true) {
            const std::uint64_t raw = word_at(at);
            const bool is_last = at % kPageSize + bytes_of(word_) == kPageSize;
            const bool odd = rules_.strict_words && (raw & 0xfff) != 1 && (raw & 0xfff) != 2 &&
                             (raw & 0xfff) != 4 && (raw & 0xfff) != 8;
            if ((raw & 0xf) == 0) {
                if (rules_.strict_words) {
                    return blame(raw == 0 ? Malformed::kNoEnd : Malformed::kUnknownWord, at);
                }
            } else if (odd) {
                return blame(Malformed::kAmbiguousWord, at);
            } else if ((raw & kIndDestination) != 0) {
                out_.lone += cursor && empty ? 1 : 0;
                cursor = page(raw);
                empty = true;
            } else if ((raw & kIndIndirection) != 0) {
                if (!is_ram(raw)) {
                    return blame(Malformed::kListPageOutOfRam, at);
                }
                if (!seen.insert(page(raw)).second) {
                    return blame(Malformed::kCycle, at);
                }
                if (rules_.kernel_layout && !is_last) {
                    return blame(Malformed::kLinkInsidePage, at);
                }
                at = page(raw);
                out_.list_pages.push_back(Gpa{at});
                continue;
            } else if ((raw & kIndDone) != 0) {
                out_.lone += cursor && empty ? 1 : 0;
                return;
            } else {
                if (!take_source(page(raw), cursor, at)) {
                    return;
                }
                empty = false;
                *cursor += kPageSize;
            }
            if (is_last) {
                return blame(Malformed::kRunsOffPage, at);
            }
            at += bytes_of(word_);
        }
    }

    bool take_source(std::uint64_t source, std::optional<std::uint64_t> cursor, std::uint64_t at) {
        if (!cursor) {
            blame(Malformed::kNoDestination, at);
        } else if (!is_ram(source)) {
            blame(Malformed::kSourceOutOfRam, at);
        } else if (rules_.source_limit && source >> 12 > *rules_.source_limit >> 12) {
            blame(Malformed::kSourceAboveLimit, at);
        } else if (!is_ram(*cursor)) {
            blame(Malformed::kDestinationOutOfRam, at);
        } else if (!sources_.insert(source).second) {
            blame(Malformed::kSourceTwice, at);
        } else if (!destinations_.insert(*cursor).second) {
            blame(Malformed::kDestinationTwice, at);
        } else {
            out_.moves.push_back({Gpa{*cursor}, Gpa{source}});
            places_.push_back(at);
            return true;
        }
        return false;
    }

    template <typename Guilty>
    bool first(Malformed kind, Guilty guilty) {
        for (std::size_t at = 0; at < places_.size(); ++at) {
            if (guilty(out_.moves[at])) {
                blame(kind, places_[at]);
                return true;
            }
        }
        return false;
    }

    void look_at_all() {
        const std::set<Gpa> lists(out_.list_pages.begin(), out_.list_pages.end());
        for (const KeptFrame& kept : rules_.kept) {
            const Gpa frame{page(kept.frame.raw)};
            if (lists.count(frame) != 0) {
                out_.kind = Malformed::kKeptFrameIsListPage;
                out_.list_page = kept.frame;
                return;
            }
            if (first(Malformed::kKeptFrameIsDestination,
                      [&](const Move& move) { return move.destination == frame; }) ||
                first(Malformed::kKeptFrameIsSource,
                      [&](const Move& move) { return move.source == frame; })) {
                return;
            }
        }
        if (rules_.list_pages_apart &&
            (first(Malformed::kListPageIsDestination,
                   [&](const Move& move) { return lists.count(move.destination) != 0; }) ||
             first(Malformed::kListPageIsSource,
                   [&](const Move& move) { return lists.count(move.source) != 0; }))) {
            return;
        }
        if (rules_.source_in_destinations) {
            first(Malformed::kSourceIsDestination, [&](const Move& move) {
                return move.source != move.destination && destinations_.count(move.source.raw) != 0;
            });
        }
    }

    const memory::GuestRam& ram_;
    Word word_;
    const DecodeRules& rules_;
    SlowReading out_;
    std::vector<std::uint64_t> places_;  // of the words that the moves come from
    std::set<std::uint64_t> sources_, destinations_;
};

}  // namespace

SlowReading read_slowly(const memory::GuestRam& ram, std::uint64_t head, Word word,
                        const DecodeRules& rules) {
    return Slow(ram, word, rules).read(head);
}

std::string difference(const Decoding& decoding, const SlowReading& slow,
                       const DecodeRules& rules) {
    const auto& bad = decoding.malformation;
    const std::string said = bad ? bad->message : std::string("sound");
    if (bad.has_value() != slow.kind.has_value() || (bad && bad->kind != *slow.kind)) {
        return "told \"" + said + "\", is " +
               (slow.kind ? std::string(name_of(*slow.kind)) : std::string("sound"));
    }
    if (bad && (bad->list_page != slow.list_page || bad->index != slow.index)) {
        return "told \"" + said + "\", it is word " + std::to_string(slow.index) +
               (slow.list_page ? " of " + memory::hex(slow.list_page->raw) : " of no list page");
    }
    if (decoding.list.list_pages != slow.list_pages) {
        return "other list pages (" + said + ")";
    }
    if (decoding.list.move_count != slow.moves.size() ||
        (rules.keep_moves && decoding.list.moves != slow.moves)) {
        return "other moves (" + said + ")";
    }
    return decoding.list.lone == slow.lone ? std::string() : "other count of lone destinations";
}

}  // namespace jumpback::kimage::test
