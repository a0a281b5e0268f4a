// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every way in which a list can be malformed, told with its place.
#include <gtest/gtest.h>

#include <set>

#include "model/kimage/list_writer.h"
#include "model/kimage/page_list.h"
#include "model/kimage/tests/list_fixture.h"
#include "model/memory/text.h"

namespace jumpback::kimage {
namespace {

using test::frame;
using test::frames;
using test::from;
using test::to;

constexpr std::uint64_t kList = 200;  // first list page
constexpr std::uint64_t kHole = test::kLowFrames;

class MalformedListTest : public testing::TestWithParam<Word> {
  protected:
    [[nodiscard]] Word word() const { return GetParam(); }
    [[nodiscard]] std::uint64_t last() const { return words_per_page(word()) - 1; }

    // Puts words into a list page from its first on.
    void put(std::uint64_t page, const std::vector<std::uint64_t>& words) {
        for (std::size_t at = 0; at < words.size(); ++at) {
            ram_.put(frame(page), at, words[at], word());
        }
    }
    void put(const std::vector<std::uint64_t>& words) { put(kList, words); }
    // Fills a list page with `first` and then sources from `source` on up to the last word but one.
    void fill(std::uint64_t page, std::uint64_t first, std::uint64_t source) {
        ram_.put(frame(page), 0, first, word());
        for (std::uint64_t at = 1; at < last(); ++at) {
            ram_.put(frame(page), at, from(source + at).raw, word());
        }
    }
    [[nodiscard]] Decoding read(const DecodeRules& rules = {},
                                std::uint64_t head = link(kList)) const {
        return decode_or_explain(ram_.view(), head, word(), rules);
    }
    static constexpr std::uint64_t link(std::uint64_t page) {
        return page * kPageSize | kIndIndirection;
    }
    // Fails unless the word at (page, index) is blamed for `kind`.
    void expect(const Decoding& decoding, Malformed kind, std::uint64_t page,
                std::uint64_t index) const {
        ASSERT_TRUE(decoding.malformation) << "nothing was found";
        const Malformation& bad = *decoding.malformation;
        EXPECT_EQ(name_of(bad.kind), name_of(kind)) << bad.message;
        EXPECT_EQ(bad.list_page, frame(page)) << bad.message;
        EXPECT_EQ(bad.index, index) << bad.message;
        EXPECT_EQ(bad.raw, ram_.get(frame(page), index, word())) << bad.message;
        const std::string place = "list page " + memory::hex(frame(page).raw) + ", word " +
                                  std::to_string(index) + " (" + memory::hex(bad.raw);
        EXPECT_EQ(bad.message.find(place), 0U) << bad.message;
        const auto failed = decode(ram_.view(), link(kList), word());
        if (!failed.ok()) {
            EXPECT_NE(failed.error().message().find("list page"), std::string::npos);
        }
    }
    static void expect_good(const Decoding& decoding) {
        EXPECT_FALSE(decoding.malformation) << decoding.malformation->message;
    }
    static void expect_at_head(const Decoding& decoding, Malformed kind, std::uint64_t head) {
        ASSERT_TRUE(decoding.malformation);
        EXPECT_EQ(name_of(decoding.malformation->kind), name_of(kind));
        EXPECT_EQ(decoding.malformation->list_page, std::nullopt);
        EXPECT_EQ(decoding.malformation->raw, head);
        EXPECT_EQ(decoding.malformation->message.find("head (" + memory::hex(head) + ")"), 0U);
    }

    test::ListRam ram_;
};

TEST_P(MalformedListTest, Head) {
    put({kIndDone});
    expect_good(read());
    for (const std::uint64_t head : {std::uint64_t{0}, to(3).raw, from(3).raw, frame(kList).raw,
                                     link(kList) | kIndDestination}) {
        expect_at_head(read({}, head), Malformed::kHeadNoList, head);
    }
    for (const std::uint64_t head : {link(kList) | kIndDone, link(kList) | 0x10}) {
        expect_at_head(read({}, head), Malformed::kAmbiguousWord, head);
        DecodeRules lax;
        lax.strict_words = false;
        expect_good(read(lax, head));
    }
    expect_at_head(read({}, link(kHole)), Malformed::kListPageOutOfRam, link(kHole));
}

TEST_P(MalformedListTest, WordsWithoutMeaning) {
    put({to(16).raw, from(300).raw, 0x3000, from(301).raw, kIndDone});
    expect(read(), Malformed::kUnknownWord, kList, 2);
    EXPECT_EQ(read().list.moves.size(), 1U);
    put({to(16).raw, from(300).raw, 0xff0, from(301).raw, kIndDone});
    expect(read(), Malformed::kUnknownWord, kList, 2);
    put({to(16).raw, from(300).raw, 0, from(301).raw, kIndDone});
    expect(read(), Malformed::kNoEnd, kList, 2);
    // The assembly skips all of these.
    DecodeRules lax;
    lax.strict_words = false;
    EXPECT_EQ(read(lax).list.moves.size(), 2U);
    expect_good(read(lax));
}

TEST_P(MalformedListTest, WordsWithSeveralMeanings) {
    const std::vector<std::uint64_t> stray = {from(301).raw | 0x10, from(301).raw | 0x800};
    for (const std::uint64_t odd : stray) {
        put({to(16).raw, from(300).raw, odd, kIndDone});
        expect(read(), Malformed::kAmbiguousWord, kList, 2);
        DecodeRules lax;
        lax.strict_words = false;
        const Decoding decoding = read(lax);
        expect_good(decoding);
        ASSERT_EQ(decoding.list.moves.size(), 2U);
        EXPECT_EQ(decoding.list.moves[1], (Move{frame(17), frame(301)}));
    }
    // DESTINATION is tested first, SOURCE last.
    DecodeRules lax;
    lax.strict_words = false;
    put({to(16).raw | kIndSource | kIndDone, from(300).raw, from(301).raw | kIndDone});
    expect(read(), Malformed::kAmbiguousWord, kList, 0);
    const std::vector<Move> moves = {{frame(16), frame(300)}};
    EXPECT_EQ(read(lax).list.moves, moves);
}

TEST_P(MalformedListTest, RunsOffItsPage) {
    fill(kList, to(2000).raw, 300);
    ram_.put(frame(kList), last(), from(3500).raw, word());
    expect(read(), Malformed::kRunsOffPage, kList, last());
    EXPECT_EQ(read().list.move_count, last());
    ram_.put(frame(kList), last(), to(3500).raw, word());
    expect(read(), Malformed::kRunsOffPage, kList, last());
    ram_.put(frame(kList), last(), kIndDone, word());
    expect_good(read());
    ram_.put(frame(kList), last(), 0, word());  // the link, or the last entry, was dropped
    expect(read(), Malformed::kNoEnd, kList, last());
}

TEST_P(MalformedListTest, Cycles) {
    put({to(16).raw, link(kList)});
    expect(read(), Malformed::kCycle, kList, 1);
    fill(kList, to(2000).raw, 300);
    ram_.put(frame(kList), last(), link(kList + 1), word());
    put(kList + 1, {link(kList + 2)});
    put(kList + 2, {to(20).raw, link(kList + 1)});
    expect(read(), Malformed::kCycle, kList + 2, 1);
    EXPECT_EQ(read().list.list_pages.size(), 3U);
    put(kList + 2, {link(kList)});
    expect(read(), Malformed::kCycle, kList + 2, 0);
    put(kList + 2, {kIndDone});
    expect_good(read());
}

TEST_P(MalformedListTest, FramesOutOfRam) {
    put({to(16).raw, from(300).raw, from(kHole).raw, kIndDone});
    expect(read(), Malformed::kSourceOutOfRam, kList, 2);
    put({to(16).raw, from(kHole - 1).raw, kIndDone});
    expect_good(read());
    put({to(kHole - 1).raw, from(300).raw, from(301).raw, kIndDone});
    expect(read(), Malformed::kDestinationOutOfRam, kList, 2);
    put({to(kHole).raw, kIndDone});  // nothing is written there
    expect_good(read());
    EXPECT_EQ(read().list.lone, 1U);
    put({to(16).raw, from(300).raw, link(kHole)});
    expect(read(), Malformed::kListPageOutOfRam, kList, 2);
    put({to(pfn_of(test::kHighStart).raw - 1).raw, from(300).raw, kIndDone});
    expect(read(), Malformed::kDestinationOutOfRam, kList, 1);
}

TEST_P(MalformedListTest, SourceBeforeAnyDestination) {
    put({from(300).raw, to(16).raw, from(301).raw, kIndDone});
    expect(read(), Malformed::kNoDestination, kList, 0);
    put({link(kList + 1)});
    put(kList + 1, {from(300).raw, kIndDone});
    expect(read(), Malformed::kNoDestination, kList + 1, 0);
}

TEST_P(MalformedListTest, FramesNamedTwice) {
    put({to(16).raw, from(300).raw, from(301).raw, from(300).raw, kIndDone});
    expect(read(), Malformed::kSourceTwice, kList, 3);
    put({to(16).raw, from(300).raw, from(301).raw, to(17).raw, from(302).raw, kIndDone});
    expect(read(), Malformed::kDestinationTwice, kList, 4);
    // The second run starts below the first and runs into it.
    put({to(16).raw, from(300).raw, to(14).raw, from(301).raw, from(302).raw, from(303).raw,
         kIndDone});
    expect(read(), Malformed::kDestinationTwice, kList, 5);
    EXPECT_EQ(read().list.move_count, 3U);
    // Both on one word: the destination is told. Two words: the first of them.
    put({to(16).raw, from(300).raw, from(301).raw, to(15).raw, from(302).raw, from(303).raw,
         from(300).raw, kIndDone});
    expect(read(), Malformed::kDestinationTwice, kList, 5);
    put({to(16).raw, from(300).raw, from(301).raw, to(15).raw, from(300).raw, from(303).raw,
         kIndDone});
    expect(read(), Malformed::kSourceTwice, kList, 4);
}

TEST_P(MalformedListTest, SourceIsAnotherDestination) {
    put({to(16).raw, from(300).raw, from(301).raw, to(50).raw, from(17).raw, kIndDone});
    expect(read(), Malformed::kSourceIsDestination, kList, 4);
    put({to(16).raw, from(17).raw, from(16).raw, kIndDone});
    expect(read(), Malformed::kSourceIsDestination, kList, 1);
    put({to(16).raw, from(16).raw, from(300).raw, to(300).raw, from(400).raw, kIndDone});
    expect(read(), Malformed::kSourceIsDestination, kList, 2);
    DecodeRules lax;
    lax.source_in_destinations = false;
    expect_good(read(lax));
    put({to(16).raw, from(16).raw, from(17).raw, kIndDone});
    expect_good(read());
}

// The reader takes words a block at a time, and tells sources that are others' destinations from
// those in place by counting. Here both counts are the same if a block is taken for one in place.
// (The first move lets the reader know where the sources' RAM is; blocks count from then on.)
TEST_P(MalformedListTest, WholeBlocksOfSourcesThatAreDestinations) {
    const auto list = [this](std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> runs,
                             std::uint64_t turned) {
        std::vector<std::uint64_t> words = {to(100).raw, from(100).raw};
        for (const auto& [destination, source] : runs) {
            words.push_back(to(destination).raw);
            for (std::uint64_t at = 0; at < 64; ++at) {
                words.push_back(from(source + (at ^ turned)).raw);
            }
        }
        words.push_back(kIndDone);
        put(words);
    };
    list({{512, 1024}, {1024, 512}}, 0);  // two stretches swapped
    expect(read(), Malformed::kSourceIsDestination, kList, 3);
    list({{512, 512}}, 1);  // each page with its neighbour
    expect(read(), Malformed::kSourceIsDestination, kList, 3);
    list({{512, 512}}, 0);
    expect_good(read());
    list({{512, 512}, {512, 512}}, 0);
    expect(read(), Malformed::kSourceTwice, kList, 68);
}

TEST_P(MalformedListTest, AWordInABlockOfSources) {
    std::vector<std::uint64_t> good = {to(512).raw};
    for (std::uint64_t at = 0; at < 100; ++at) {
        good.push_back(from(at < 50 ? 512 + at : 1024 + (at ^ 1)).raw);  // the first half in place
    }
    good.push_back(kIndDone);
    put(good);
    expect_good(read());
    for (std::uint64_t at = 1; at <= 100; ++at) {
        const auto with = [&](std::uint64_t word) {
            std::vector<std::uint64_t> words = good;
            words[at] = word;
            put(words);
            return read();
        };
        expect(with(0), Malformed::kNoEnd, kList, at);
        expect(with(good[at] | kIndDone), Malformed::kAmbiguousWord, kList, at);
        expect(with(good[at] | 0x800), Malformed::kAmbiguousWord, kList, at);
        expect(with(from(test::kLowFrames).raw), Malformed::kSourceOutOfRam, kList, at);
        expect(with(good[at == 1 ? 2 : 1]), Malformed::kSourceTwice, kList, at == 1 ? 2 : at);
    }
}

TEST_P(MalformedListTest, SourceAboveTheLimit) {
    put({to(16).raw, from(300).raw, from(301).raw, kIndDone});
    DecodeRules rules;
    rules.source_limit = frame(300).raw + 0xfff;  // as the kernel, by frames
    expect(read(rules), Malformed::kSourceAboveLimit, kList, 2);
    rules.source_limit = frame(301).raw;
    expect_good(read(rules));
}

TEST_P(MalformedListTest, ListPagesThatAreMoved) {
    put({to(16).raw, from(300).raw, from(kList).raw, kIndDone});
    expect(read(), Malformed::kListPageIsSource, kList, 2);
    put({to(16).raw, from(300).raw, to(kList).raw, from(301).raw, kIndDone});
    expect(read(), Malformed::kListPageIsDestination, kList, 3);
    DecodeRules lax;
    lax.list_pages_apart = false;
    expect_good(read(lax));
}

TEST_P(MalformedListTest, FramesThatMustStay) {
    put({to(16).raw, from(300).raw, from(301).raw, kIndDone});
    DecodeRules rules;
    rules.kept = {{frame(400), "swap page"},
                  {frame(15), "control page"},
                  {Gpa{~std::uint64_t{0xfff}}, "nowhere"}};
    expect_good(read(rules));
    rules.kept.push_back({frame(301), "swap page"});
    expect(read(rules), Malformed::kKeptFrameIsSource, kList, 2);
    EXPECT_NE(read(rules).malformation->message.find("swap page 0x12d000"), std::string::npos);
    rules.kept.back() = {frame(17), "page table"};
    expect(read(rules), Malformed::kKeptFrameIsDestination, kList, 2);
    rules.kept.back() = {frame(kList), "swap page"};
    ASSERT_TRUE(read(rules).malformation);
    EXPECT_EQ(read(rules).malformation->kind, Malformed::kKeptFrameIsListPage);
}

TEST_P(MalformedListTest, LinksThatTheKernelWouldNotMake) {
    put({to(16).raw, from(300).raw, link(kList + 1)});
    put(kList + 1, {from(301).raw, kIndDone});
    expect_good(read());
    DecodeRules rules;
    rules.kernel_layout = true;
    expect(read(rules), Malformed::kLinkInsidePage, kList, 2);
    const std::vector<Move> moves = {{frame(16), frame(300)}, {frame(17), frame(301)}};
    EXPECT_EQ(read().list.moves, moves);  // the cursor goes on across list pages
}

// As many list pages as there are frames, and as long a chain as can be: it ends, and the answer
// takes no more memory than the frames allow.
TEST_P(MalformedListTest, ALongChainEnds) {
    for (std::uint64_t page = 0; page < test::kLowFrames; ++page) {
        put(page, {link((page + 1) % test::kLowFrames)});
    }
    const Decoding decoding = read();
    expect(decoding, Malformed::kCycle, kList - 1, 0);
    EXPECT_EQ(decoding.list.list_pages.size(), test::kLowFrames);
}

INSTANTIATE_TEST_SUITE_P(Words, MalformedListTest, testing::Values(Word::k32, Word::k64),
                         [](const auto& which) {
                             return which.param == Word::k32 ? "Bits32" : "Bits64";
                         });

TEST(MalformedTest, EveryKindHasItsName) {
    std::set<std::string_view> names;
    const auto last = static_cast<unsigned>(Malformed::kLinkInsidePage);
    for (unsigned kind = 0; kind <= last; ++kind) {
        names.insert(name_of(static_cast<Malformed>(kind)));
    }
    EXPECT_EQ(names.size(), last + 1);
    EXPECT_EQ(names.count("unknown"), 0U);
}

// A list of 32-bit words has no way to name a frame from 4 GiB on; its cursor must not get there
// either.
TEST(NarrowListTest, EndsBelow4GiB) {
    std::vector<std::byte> buffer(16 * kPageSize);
    const Gpa start{0xffff'c000};  // four frames below 4 GiB, twelve above
    const auto ram =
        memory::WritableRam::create(buffer, {{start, Bytes{0}, Bytes{buffer.size()}}}).value();
    const auto entry = [&](std::uint64_t number, std::uint64_t flag) {
        return Entry{(start.raw + number * kPageSize) | flag};
    };
    const Gpa list_page{start.raw};
    const std::vector<Entry> fits = {entry(3, kIndDestination), entry(1, kIndSource)};
    const auto head = write_entries(ram, fits, {&list_page, 1}, Word::k32);
    ASSERT_TRUE(head.ok());
    EXPECT_TRUE(decode(ram.view(), *head, Word::k32).ok());
    std::vector<Entry> over = fits;
    over.push_back(entry(2, kIndSource));
    ASSERT_TRUE(write_entries(ram, over, {&list_page, 1}, Word::k32).ok());
    const Decoding decoding = decode_or_explain(ram.view(), *head, Word::k32);
    ASSERT_TRUE(decoding.malformation);
    EXPECT_EQ(decoding.malformation->kind, Malformed::kDestinationOutOfRam);
    ASSERT_TRUE(write_entries(ram, over, {&list_page, 1}, Word::k64).ok());
    EXPECT_TRUE(decode(ram.view(), *head, Word::k64).ok());
}

}  // namespace
}  // namespace jumpback::kimage
