// SPDX-License-Identifier: GPL-2.0-or-later
//
// Arbitrary lists: the reader says what the slow one says, of every list.
#include "model/kimage/tests/random_list.h"

#include <gtest/gtest.h>

#include <map>

#include "model/kimage/tests/load_fixture.h"
#include "model/kimage/tests/slow_reader.h"

namespace jumpback::kimage {
namespace {

TEST(RandomListTest, AgreesWithTheSlowReader) {
    std::mt19937_64 random(test::seed());
    test::RandomList list;
    std::map<std::string, unsigned> seen;
    for (unsigned round = 0; round < 100'000; ++round) {
        std::vector<std::uint8_t> data(4 + 3 * (random() % 24));
        for (std::uint8_t& byte : data) {
            byte = static_cast<std::uint8_t>(random());
        }
        for (std::size_t at = 5; at < data.size(); at += 3) {
            data[at] = static_cast<std::uint8_t>(data[at] % (test::RandomList::kFrames + 1));
            data[at - 1] &= round % 4 == 0 ? 0xff : 0xdf;
        }
        list.make(data);
        const Decoding decoding = decode_or_explain(list.ram(), list.head, list.word, list.rules);
        const auto slow = test::read_slowly(list.ram(), list.head, list.word, list.rules);
        ASSERT_EQ(test::difference(decoding, slow, list.rules), "") << "round " << round;
        ++seen[slow.kind ? std::string(name_of(*slow.kind)) : "sound"];
    }
    // The lists must be good enough to get everywhere.
    EXPECT_EQ(seen.size(), 21U);
    for (const auto& [name, times] : seen) {
        EXPECT_GT(times, 0U) << name;
    }
    EXPECT_GT(seen["sound"], 1000U);
    RecordProperty("sound", static_cast<int>(seen["sound"]));
}

}  // namespace
}  // namespace jumpback::kimage
