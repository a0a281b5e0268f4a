// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/relocate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

namespace jumpback::relocate {
namespace {

using kimage::Move;

constexpr std::uint64_t kFrames = 64;
constexpr std::uint64_t kHigh = std::uint64_t{1} << 32;  // RAM above the hole below 4 GiB

// 48 frames at 0 and 16 at 4 GiB; the last frame is the swap page.
class RelocateTest : public testing::Test {
  protected:
    RelocateTest()
        : bytes_(kFrames * kPageSize),
          ram_(memory::WritableRam::create(
                   bytes_, {{Gpa{0}, Bytes{0}, Bytes{48 * kPageSize}},
                            {Gpa{kHigh}, Bytes{48 * kPageSize}, Bytes{16 * kPageSize}}})
                   .value()) {
        for (std::uint64_t word = 0; word < bytes_.size() / sizeof word; ++word) {
            const std::uint64_t value = (word + 1) * 0x9e3779b97f4a7c15U;  // all different
            std::memcpy(bytes_.data() + word * sizeof value, &value, sizeof value);
        }
        before_ = bytes_;
    }

    static Gpa frame(std::uint64_t number) {
        return number < 48 ? Gpa{number * kPageSize} : Gpa{kHigh + (number - 48) * kPageSize};
    }
    [[nodiscard]] bool holds(std::uint64_t number, std::uint64_t what) const {
        return std::memcmp(bytes_.data() + number * kPageSize, before_.data() + what * kPageSize,
                           kPageSize) == 0;
    }
    static Gpa swap_page() { return frame(kFrames - 1); }

    // Pairs of a sound list: disjoint, some with source equal to destination.
    static std::vector<Move> sound_moves(std::mt19937_64& random) {
        std::vector<std::uint64_t> numbers(kFrames - 1);
        std::iota(numbers.begin(), numbers.end(), 0U);
        std::shuffle(numbers.begin(), numbers.end(), random);
        std::vector<Move> moves;
        for (std::size_t at = 0; at + 1 < numbers.size() && moves.size() < 28; at += 2) {
            const bool itself = random() % 5 == 0;
            moves.push_back({frame(numbers[at]), frame(numbers[itself ? at : at + 1])});
        }
        return moves;
    }

    std::vector<std::byte> bytes_, before_;
    memory::WritableRam ram_;
};

TEST_F(RelocateTest, SwapExchangesAndLeavesTheSourceInTheSwapPage) {
    ASSERT_TRUE(
        relocate_in_order(ram_, {{{frame(3), frame(50)}}}, swap_page(), Action::kSwap).ok());
    EXPECT_TRUE(holds(3, 50));
    EXPECT_TRUE(holds(50, 3));
    EXPECT_TRUE(holds(kFrames - 1, 50));
    for (std::uint64_t number = 0; number + 1 < kFrames; ++number) {
        EXPECT_TRUE(number == 3 || number == 50 || holds(number, number)) << number;
    }
}

TEST_F(RelocateTest, CopyTouchesTheDestinationAlone) {
    ASSERT_TRUE(
        relocate_in_order(ram_, {{{frame(3), frame(50)}}}, swap_page(), Action::kCopy).ok());
    EXPECT_TRUE(holds(3, 50));
    for (std::uint64_t number = 0; number < kFrames; ++number) {
        EXPECT_TRUE(number == 3 || holds(number, number)) << number;
    }
}

TEST_F(RelocateTest, PageOntoItself) {
    for (const Action action : {Action::kSwap, Action::kCopy}) {
        ASSERT_TRUE(relocate_in_order(ram_, {{{frame(7), frame(7)}}}, swap_page(), action).ok());
        EXPECT_TRUE(holds(7, 7));
        EXPECT_EQ(holds(kFrames - 1, 7), action == Action::kSwap);
        bytes_ = before_;
    }
}

TEST_F(RelocateTest, TwoPassesOverASoundListRestoreEverything) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937_64 random(seed);
        const std::vector<Move> moves = sound_moves(random);
        bytes_ = before_;
        ASSERT_TRUE(relocate_in_order(ram_, moves, swap_page(), Action::kSwap).ok());
        ASSERT_NE(std::memcmp(bytes_.data(), before_.data(), (kFrames - 1) * kPageSize), 0);
        ASSERT_TRUE(relocate_in_order(ram_, moves, swap_page(), Action::kSwap).ok());
        EXPECT_EQ(std::memcmp(bytes_.data(), before_.data(), (kFrames - 1) * kPageSize), 0);
    }
}

// Any list, sound or not: sources that are destinations of others, frames twice, the swap page
// itself moved.
TEST_F(RelocateTest, FastPathEndsTheSame) {
    for (std::uint64_t seed = 1; seed <= 400; ++seed) {
        SCOPED_TRACE(testing::Message() << "seed " << seed);
        std::mt19937_64 random(seed);
        std::vector<Move> moves;
        if (seed % 4 == 0) {
            moves = sound_moves(random);
        } else {
            const std::uint64_t reach = seed % 4 == 1 ? kFrames : kFrames - 1;  // with swap page?
            for (std::uint64_t count = random() % 20; count > 0; --count) {
                moves.push_back({frame(random() % reach), frame(random() % reach)});
            }
        }
        for (const Action action : {Action::kSwap, Action::kCopy}) {
            bytes_ = before_;
            ASSERT_TRUE(relocate_in_order(ram_, moves, swap_page(), action).ok());
            const std::vector<std::byte> in_order = bytes_;
            bytes_ = before_;
            ASSERT_TRUE(relocate(ram_, moves, swap_page(), action).ok());
            EXPECT_EQ(std::memcmp(bytes_.data(), in_order.data(), bytes_.size()), 0);
        }
    }
}

TEST_F(RelocateTest, ChainsFollowTheOrder) {
    // 1 <- 2, then 2 <- 3: the second swap meets what the first left in 2.
    const std::vector<Move> moves{{frame(1), frame(2)}, {frame(2), frame(3)}};
    ASSERT_TRUE(relocate(ram_, moves, swap_page(), Action::kSwap).ok());
    EXPECT_TRUE(holds(1, 2));
    EXPECT_TRUE(holds(2, 3));
    EXPECT_TRUE(holds(3, 1));
}

TEST_F(RelocateTest, FramesOutOfRamAreNamedAndNothingIsWritten) {
    const std::vector<Move> moves{{frame(1), frame(2)}, {Gpa{0x80000000}, frame(3)}};
    for (const auto& run : {relocate, relocate_in_order}) {
        const Status status = run(ram_, moves, swap_page(), Action::kCopy);
        ASSERT_FALSE(status.ok());
        EXPECT_NE(status.error().message().find("move 1: page 0x80000000"), std::string::npos);
        EXPECT_FALSE(run(ram_, {{moves[0]}}, Gpa{0x80000000}, Action::kSwap).ok());
        EXPECT_TRUE(run(ram_, {}, swap_page(), Action::kSwap).ok());
    }
    EXPECT_EQ(bytes_, before_);
}

TEST_F(RelocateTest, ActionByGeneration) {
    const Generation& old = *find_generation("6.1", Isa::kX86_64).value().generation;
    const Generation& late = *find_generation("7.2", Isa::kX86_64).value().generation;
    EXPECT_EQ(action_of(old, false), Action::kSwap);
    EXPECT_EQ(action_of(late, false), Action::kCopy);
    EXPECT_EQ(action_of(late, true), Action::kSwap);
}

}  // namespace
}  // namespace jumpback::relocate
