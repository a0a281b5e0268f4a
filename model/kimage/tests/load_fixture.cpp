// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/tests/load_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "model/kimage/page_list.h"
#include "model/memory/text.h"

namespace jumpback::kimage::test {

std::uint64_t seed() {
    static const std::uint64_t value = [] {
        const char* text = std::getenv("JUMPBACK_TEST_SEED");
        const std::uint64_t chosen = text != nullptr ? std::strtoull(text, nullptr, 0) : 20080513;
        std::cout << "seed " << chosen << " (JUMPBACK_TEST_SEED sets it)\n";
        return chosen;
    }();
    return value;
}

std::vector<std::span<const std::byte>> RandomSegments::spans() const {
    return {buffers.begin(), buffers.end()};
}

RandomSegments random_segments(std::mt19937_64& random, std::size_t count, std::uint64_t end_pfn,
                               bool may_overlap) {
    RandomSegments load;
    // Disjoint ones are cut out of a row of equal slots.
    const std::uint64_t slot = end_pfn / count;
    std::vector<std::uint64_t> starts;
    for (std::uint64_t at = 0; at < count; ++at) {
        starts.push_back(may_overlap ? random() % (end_pfn - slot) : at * slot);
    }
    std::shuffle(starts.begin(), starts.end(), random);
    for (const std::uint64_t start : starts) {
        const std::uint64_t skip = random() % 3 == 0 ? 0 : random() % (slot / 2);
        const std::uint64_t room = slot - skip;
        std::uint64_t pages = random() % 8 == 0 ? room : random() % (room + 1);
        if (start + skip == 0 && pages == 0) {
            pages = 1;
        }
        const std::uint64_t memsz = pages * kPageSize;
        std::uint64_t bufsz = random() % 4 == 0 ? memsz : random() % (memsz + 1);
        bufsz = random() % 5 == 0 ? 0 : bufsz;
        load.segments.push_back({bufsz, gpa_of(Pfn{start + skip}), memsz});
        std::vector<std::byte> bytes(bufsz);
        for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
            const std::uint64_t value = random();
            std::memcpy(bytes.data() + at, &value, sizeof value);
        }
        load.buffers.push_back(std::move(bytes));
    }
    return load;
}

std::map<std::uint64_t, std::vector<std::byte>> intended(const RandomSegments& load) {
    std::map<std::uint64_t, std::vector<std::byte>> pages;
    for (std::size_t number = 0; number < load.segments.size(); ++number) {
        const Segment& segment = load.segments[number];
        std::vector<std::byte> all = load.buffers[number];
        all.resize(segment.memsz);
        for (std::uint64_t at = 0; at < segment.memsz; at += kPageSize) {
            const auto* first = all.data() + at;
            pages[(segment.mem.raw + at) >> kPageShift].assign(first, first + kPageSize);
        }
    }
    return pages;
}

void expect_jump_gives(const Kimage& image, std::span<const PageContent> contents,
                       const RandomSegments& load, const memory::WritableRam& ram) {
    std::fill(ram.buffer().begin(), ram.buffer().end(), std::byte{0xa5});
    ASSERT_TRUE(image.write_list_pages(ram).ok());
    const auto spans = load.spans();
    const Status written = write_pages(ram, contents, spans);
    ASSERT_TRUE(written.ok()) << written.error().message();

    DecodeRules rules;
    rules.kernel_layout = true;
    rules.kept.push_back({*image.control_code_page, "control code page"});
    rules.kept.push_back({*image.swap_page, "swap page"});
    for (const Gpa table : image.page_tables) {
        rules.kept.push_back({table, "page table"});
    }
    const Result<PageList> list = decode(ram.view(), image.head(), image.word, rules);
    ASSERT_TRUE(list.ok()) << list.error().message();
    EXPECT_EQ(list->moves, image.moves());
    EXPECT_EQ(list->list_pages, image.list_pages);

    const auto pages = intended(load);
    ASSERT_EQ(list->moves.size(), pages.size());
    for (const Move& move : list->moves) {
        std::memmove(ram.page_or_null(pfn_of(move.destination)),
                     ram.page_or_null(pfn_of(move.source)), kPageSize);
    }
    for (const auto& [pfn, bytes] : pages) {
        ASSERT_EQ(std::memcmp(ram.page_or_null(Pfn{pfn}), bytes.data(), kPageSize), 0)
            << "destination " << memory::hex(pfn << kPageShift);
    }
}

}  // namespace jumpback::kimage::test
