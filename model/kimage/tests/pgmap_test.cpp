// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/pgmap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "model/kimage/tests/list_fixture.h"
#include "model/kimage/tests/load_fixture.h"

namespace jumpback::kimage {
namespace {

using test::frame;

Pgmap example() {
    const std::vector<Move> moves = {{frame(0x101), frame(0x801)},
                                     {frame(0x100), frame(0x800)},
                                     {frame(0x20), frame(0x20)},
                                     {frame(0x102), frame(0x700)},
                                     {frame(0x104), frame(0x802)}};
    return pgmap_of(PgmapState::kLoaded, moves);
}

constexpr const char* kExample =
    "kexec_pgmap 1 loaded 4 5\n"
    "20000 20000 1\n"
    "100000 800000 2\n"
    "102000 700000 1\n"
    "104000 802000 1\n"
    "end\n";

TEST(PgmapTest, TextAndBack) {
    EXPECT_EQ(pgmap_text(example()), kExample);
    const auto parsed = parse_pgmap(kExample);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(*parsed, example());
    EXPECT_EQ(pgmap_text({}), "kexec_pgmap 1 none 0 0\nend\n");
    EXPECT_EQ(parse_pgmap("kexec_pgmap 1 none 0 0\nend\n").value(), Pgmap{});
    EXPECT_EQ(parse_pgmap("kexec_pgmap 1 pending 0 0\nend\n")->state, PgmapState::kPending);
}

TEST(PgmapTest, BinaryAndBack) {
    std::vector<std::byte> bytes = pgmap_binary(example());
    EXPECT_EQ(bytes.size(), 32U + 4 * 24);
    EXPECT_EQ(std::memcmp(bytes.data(), "KJBACKUP\1\0\0\0\x18\0\0\0\4\0\0\0\0\0\0\0\5", 25), 0);
    bytes.resize(kPageSize);  // as it stands in its segment
    const auto parsed = parse_pgmap_binary(bytes);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(*parsed, example());
}

TEST(PgmapTest, RandomMapsSurviveBothForms) {
    std::mt19937_64 random(test::seed());
    for (unsigned round = 0; round < 200; ++round) {
        // Destinations below frame 10,000, sources above, some in place.
        std::vector<Move> moves;
        std::vector<std::uint64_t> sources(500);
        for (std::uint64_t at = 0; at < sources.size(); ++at) {
            sources[at] = 20000 + at;
        }
        if (round % 2 == 0) {
            std::shuffle(sources.begin(), sources.end(), random);
        }
        std::uint64_t destination = random() % 100;
        const std::uint64_t count = random() % 500;
        for (std::uint64_t at = 0; at < count; ++at) {
            destination += random() % 8 == 0 ? 2 + random() % 10 : 1;
            moves.push_back(
                {frame(destination), frame(random() % 9 == 0 ? destination : sources[at])});
        }
        const auto state = static_cast<PgmapState>(1 + random() % 2);
        const Pgmap map = pgmap_of(state, moves);
        ASSERT_EQ(map.pages(), moves.size());
        const auto text = parse_pgmap(pgmap_text(map));
        ASSERT_TRUE(text.ok()) << text.error().message();
        ASSERT_EQ(*text, map);
        const auto binary = parse_pgmap_binary(pgmap_binary(map));
        ASSERT_TRUE(binary.ok()) << binary.error().message();
        ASSERT_EQ(binary->runs, map.runs);
        std::shuffle(moves.begin(), moves.end(), random);
        ASSERT_EQ(pgmap_of(state, moves), map);
    }
}

TEST(PgmapTest, BadTextIsRefusedWithItsLine) {
    const auto line_of = [](const std::string& text) -> std::string {
        const auto parsed = parse_pgmap(text);
        return parsed.ok() ? "fine" : parsed.error().where;
    };
    const std::string one = "kexec_pgmap 1 loaded 1 1\n";
    const std::string two = "kexec_pgmap 1 loaded 2 2\n";
    EXPECT_EQ(line_of(one + "1000 5000 1\nend\n"), "fine");
    EXPECT_EQ(line_of(two + "1000 5000 1\n3000 6000 1\nend\n"), "fine");
    for (const char* header :
         {"", "kexec_pgmap 1 loaded 1 1", "kexec_pgmap 2 loaded 1 1\n", "kexec_pgmap 1 gone 1 1\n",
          "kexec_pgmap 1 loaded 1\n", "kexec_pgmap 1 loaded\n", "kexec_pgmap 1 loaded 1 1 \n",
          "kexec_pgmap 1 loaded 01 1\n", "kexec_pgmap 1 loaded -1 1\n",
          "kexec_pgmap 1 loaded 99999999999999999999 1\n", "kexec_pgmap  1 loaded 1 1\n",
          "kexec_pgmap 1 loaded 1 2\n", "kexec_pgmap 1 none 1 1\n"}) {
        EXPECT_EQ(line_of(std::string(header) + "1000 5000 1\nend\n"), "kexec_pgmap line 1")
            << header;
    }
    for (const char* run :
         {"1000 5000", "1000 5000 0", "1000 5000 1 ", "1000 5000  1", "0x1000 5000 1",
          "01000 5000 1", "1000 5000 01", "A000 5000 1", "1000 5800 1", "1001 5000 1",
          "1000 5000 1x", "", "fffffffffffff000 5000 1", "1000 fffffffffffff000 2",
          "1000 5000 4503599627370496"}) {
        EXPECT_EQ(line_of(one + run + "\nend\n"), "kexec_pgmap line 2") << run;
    }
    for (const char* run : {"1000 6000 1", "0 6000 1", "2000 6000 1", "end"}) {
        EXPECT_EQ(line_of(two + "1000 5000 1\n" + run + "\nend\n"), "kexec_pgmap line 3") << run;
    }
    EXPECT_EQ(line_of(two + "1000 5000 1\n"), "kexec_pgmap line 3");
    EXPECT_EQ(line_of(one + "1000 5000 1\n"), "kexec_pgmap line 3");
    EXPECT_EQ(line_of(one + "1000 5000 1\nend\n\n"), "kexec_pgmap line 3");
    EXPECT_EQ(line_of(one + "1000 5000 1\nend"), "kexec_pgmap line 3");
    EXPECT_EQ(line_of(two + "1000 5000 1\n3000 5000 1\nend\n"), "kexec_pgmap");  // source twice
    EXPECT_EQ(line_of(two + "1000 5000 1\n3000 1000 1\nend\n"), "kexec_pgmap");  // a destination
    EXPECT_EQ(line_of("kexec_pgmap 1 loaded 1 8\n1000 5000 8\nend\n"), "kexec_pgmap");
    EXPECT_EQ(line_of("kexec_pgmap 1 loaded 1 8\n1000 1000 8\nend\n"), "fine");
}

TEST(PgmapTest, BadBinaryIsRefused) {
    const std::vector<std::byte> good = pgmap_binary(example());
    const auto with = [&](std::size_t at, std::uint8_t value) {
        std::vector<std::byte> bytes = good;
        bytes[at] = std::byte{value};
        return parse_pgmap_binary(bytes).ok();
    };
    EXPECT_TRUE(parse_pgmap_binary(good).ok());
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(parse_pgmap_binary({good.data(), size}).ok()) << size;
    }
    EXPECT_FALSE(with(0, 'k'));
    EXPECT_FALSE(with(8, 2));
    EXPECT_FALSE(with(12, 32));
    EXPECT_FALSE(with(16, 5));
    EXPECT_FALSE(with(16, 3));  // the pages do not fit then
    EXPECT_FALSE(with(23, 1));  // very many
    EXPECT_FALSE(with(24, 6));
    EXPECT_FALSE(with(32, 1));
    EXPECT_FALSE(with(48, 0));
    EXPECT_FALSE(with(48, 2));
}

}  // namespace
}  // namespace jumpback::kimage
