// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/swapped.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "model/memory/writable_ram.h"
#include "model/relocate/relocate.h"

namespace jumpback::relocate {
namespace {

constexpr std::uint64_t kFrames = 96;
constexpr std::uint64_t kHigh = std::uint64_t{4} << 30;  // bytes, where the second region begins
constexpr std::uint64_t kLowFrames = 64;

// Two machines' RAM of the same two regions, one with its regions' bytes the other way round.
class SwappedTest : public testing::Test {
  protected:
    SwappedTest() : before_(kFrames * kPageSize), after_(kFrames * kPageSize) {
        std::mt19937_64 random(7);
        for (std::byte& byte : before_) {
            byte = static_cast<std::byte>(random());
        }
        for (std::uint64_t frame = 0; frame < kFrames; ++frame) {
            std::copy_n(page(before_, frame, false), kPageSize, page(after_, frame, true));
        }
    }

    static Gpa gpa(std::uint64_t frame) {
        return Gpa{frame < kLowFrames ? frame * kPageSize
                                      : kHigh + (frame - kLowFrames) * kPageSize};
    }
    // Of the machine's frame `frame` in its buffer. `turned`: the high region stands first.
    static std::uint64_t offset(std::uint64_t frame, bool turned) {
        const std::uint64_t high = kFrames - kLowFrames;
        if (!turned) {
            return frame * kPageSize;
        }
        return (frame < kLowFrames ? frame + high : frame - kLowFrames) * kPageSize;
    }
    static std::byte* page(std::vector<std::byte>& buffer, std::uint64_t frame, bool turned) {
        return buffer.data() + offset(frame, turned);
    }
    static memory::GuestRam ram(const std::vector<std::byte>& buffer, bool turned) {
        return memory::GuestRam::create(
                   buffer, {{Gpa{0}, Bytes{offset(0, turned)}, Bytes{kLowFrames * kPageSize}},
                            {Gpa{kHigh}, Bytes{offset(kLowFrames, turned)},
                             Bytes{(kFrames - kLowFrames) * kPageSize}}})
            .value();
    }
    Result<FrameComparison> compare(const SwapQuestion& question) {
        const memory::GuestRam left = ram(before_, false);
        const memory::GuestRam right = ram(after_, true);
        return compare_swapped({&left, left_resident_, sparse_}, {&right, right_resident_, sparse_},
                               question);
    }
    // As relocate_kernel would, on what was captured after it.
    void swap_after(std::span<const kimage::Move> moves) {
        for (const kimage::Move& move : moves) {
            std::byte* left = page(after_, frame_of(move.source), true);
            std::byte* right = page(after_, frame_of(move.destination), true);
            if (left != right) {
                std::swap_ranges(left, left + kPageSize, right);
            }
        }
    }
    static std::uint64_t frame_of(Gpa at) {
        return at.raw < kHigh ? at.raw / kPageSize : (at.raw - kHigh) / kPageSize + kLowFrames;
    }

    std::vector<std::byte> before_, after_;
    std::vector<Extent> left_resident_, right_resident_;
    bool sparse_ = false;
};

std::vector<kimage::Move> moves_between(const std::vector<std::pair<Gpa, Gpa>>& pairs) {
    std::vector<kimage::Move> moves;
    moves.reserve(pairs.size());
    for (const auto& [destination, source] : pairs) {
        moves.push_back({destination, source});
    }
    return moves;
}

TEST_F(SwappedTest, EveryFrameIsComparedWithItsPartner) {
    const auto moves = moves_between({{gpa(3), gpa(60)}, {gpa(4), gpa(70)}, {gpa(5), gpa(5)}});
    const FrameComparison unswapped = compare({moves, {}, {}, 8}).value();
    EXPECT_EQ(unswapped.different, 4U);
    swap_after(moves);
    const FrameComparison swapped = compare({moves, {}, {}, 8}).value();
    EXPECT_EQ(swapped.compared, kFrames);
    EXPECT_EQ(swapped.different, 0U);
    EXPECT_EQ(compare({{}, {}, {}, 8}).value().different, 4U);
}

// Every single byte of every frame: none may get lost between runs, regions and moved pages.
TEST_F(SwappedTest, EveryChangedPageIsFoundAtItsPlace) {
    const auto moves = moves_between(
        {{gpa(0), gpa(kFrames - 1)}, {gpa(kLowFrames), gpa(kLowFrames - 1)}, {gpa(9), gpa(9)}});
    swap_after(moves);
    std::mt19937_64 random(8);
    for (std::uint64_t frame = 0; frame < kFrames; ++frame) {
        const std::uint64_t at = random() % kPageSize;
        std::byte* byte = page(after_, frame, true) + at;
        *byte ^= std::byte{0x10};
        const FrameComparison found = compare({moves, {}, {}, 8}).value();
        *byte ^= std::byte{0x10};
        ASSERT_EQ(found.different, 1U) << frame;
        ASSERT_EQ(found.compared, kFrames);
        EXPECT_EQ(found.differences.front().pfn, pfn_of(gpa(frame)));
        EXPECT_EQ(found.differences.front().offset, at);
        EXPECT_EQ(found.differences.front().differing, 1U);
    }
}

TEST_F(SwappedTest, AgreesWithTheModelOfTheSwap) {
    std::mt19937_64 random(9);
    for (int round = 0; round < 20; ++round) {
        std::vector<std::uint64_t> frames(kFrames);
        for (std::uint64_t frame = 0; frame < kFrames; ++frame) {
            frames[frame] = frame;
        }
        std::shuffle(frames.begin(), frames.end(), random);
        std::vector<kimage::Move> moves;
        for (std::size_t at = 0; at + 2 < kFrames && at < 40; at += 2) {
            moves.push_back({gpa(frames[at]), gpa(frames[at + 1])});
        }
        const Gpa swap_page = gpa(frames.back());
        std::vector<std::byte> copy = before_;
        const memory::WritableRam writable =
            memory::WritableRam::create(copy, ram(copy, false).regions()).value();
        ASSERT_TRUE(relocate(writable, moves, swap_page, Action::kSwap));
        for (std::uint64_t frame = 0; frame < kFrames; ++frame) {
            std::copy_n(page(copy, frame, false), kPageSize, page(after_, frame, true));
        }
        const std::vector<Allowance> allowed = {{Rule::kSwapPage, swap_page, Bytes{kPageSize}}};
        const FrameComparison found = compare({moves, {}, allowed, 8}).value();
        EXPECT_EQ(found.different, 0U);
        EXPECT_EQ(found.rule_pages[static_cast<unsigned>(Rule::kSwapPage)], 1U);
    }
}

TEST_F(SwappedTest, WhatIsLeftOutIsNotCompared) {
    page(after_, 7, true)[1] ^= std::byte{1};
    page(after_, 80, true)[1] ^= std::byte{1};
    const std::vector<std::uint64_t> left_out = {pfn_of(gpa(80)).raw, pfn_of(gpa(3)).raw};
    const FrameComparison found = compare({{}, left_out, {}, 8}).value();
    EXPECT_EQ(found.compared, kFrames - 2);
    ASSERT_EQ(found.different, 1U);
    EXPECT_EQ(found.differences.front().pfn, Pfn{7});
}

TEST_F(SwappedTest, AllowedBitsAreExcusedAndCounted) {
    page(after_, 7, true)[16] ^= std::byte{0x20};
    page(after_, 8, true)[16] ^= std::byte{0x21};
    const std::vector<Allowance> allowed = {
        {Rule::kTableBits, gpa(7), Bytes{kPageSize}, 0x60},
        {Rule::kTableBits, gpa(8), Bytes{kPageSize}, 0x60},
        {Rule::kSwapPage, gpa(9), Bytes{kPageSize}},
    };
    const FrameComparison found = compare({{}, {}, allowed, 8}).value();
    ASSERT_EQ(found.different, 1U);
    EXPECT_EQ(found.differences.front().pfn, Pfn{8});
    EXPECT_EQ(found.differences.front().differing, 1U);
    EXPECT_EQ(found.excused, std::vector<Gpa>{gpa(7)});
    EXPECT_EQ(found.rule_pages[static_cast<unsigned>(Rule::kTableBits)], 2U);
    EXPECT_EQ(found.rule_pages[static_cast<unsigned>(Rule::kSwapPage)], 0U);
}

TEST_F(SwappedTest, WhatIsNotResidentIsZero) {
    sparse_ = true;
    // Frames 2 and 3 are resident before, 3 and 4 after; 3 and 4 stand side by side in both.
    left_resident_ = {{Bytes{offset(2, false)}, Bytes{2 * kPageSize}}};
    right_resident_ = {{Bytes{offset(3, true)}, Bytes{2 * kPageSize}}};
    FrameComparison found = compare({{}, {}, {}, 8}).value();
    EXPECT_EQ(found.compared, kFrames);
    ASSERT_EQ(found.different, 2U);
    EXPECT_EQ(found.differences[0].pfn, Pfn{2});
    EXPECT_EQ(found.differences[0].found, std::vector<std::byte>(16));
    EXPECT_EQ(found.differences[1].pfn, Pfn{4});
    EXPECT_EQ(found.differences[1].expected, std::vector<std::byte>(16));
    // A page that moved, between resident and not.
    const auto moves = moves_between({{gpa(40), gpa(2)}, {gpa(4), gpa(90)}});
    std::fill_n(page(after_, 4, true), kPageSize, std::byte{0});
    found = compare({moves, {}, {}, 8}).value();
    ASSERT_EQ(found.different, 1U);
    EXPECT_EQ(found.differences[0].pfn, Pfn{40});
}

TEST_F(SwappedTest, BadQuestionsAreErrors) {
    const auto twice = moves_between({{gpa(1), gpa(2)}, {gpa(3), gpa(2)}});
    EXPECT_FALSE(compare({twice, {}, {}, 8}));
    const auto outside = moves_between({{gpa(1), Gpa{kHigh - kPageSize}}});
    EXPECT_FALSE(compare({outside, {}, {}, 8}));
    const std::vector<std::uint64_t> nowhere = {pfn_of(Gpa{kHigh}).raw - 1};
    EXPECT_FALSE(compare({{}, nowhere, {}, 8}));
    const std::vector<Allowance> crossing = {{Rule::kSwapPage, Gpa{0x800}, Bytes{kPageSize}}};
    EXPECT_FALSE(compare({{}, {}, crossing, 8}));
    const memory::GuestRam whole = memory::GuestRam::create(before_, {}).value();
    const memory::GuestRam parts = ram(after_, true);
    EXPECT_FALSE(compare_swapped({&whole}, {&parts}, {}));
}

TEST_F(SwappedTest, CopiedFramesAreFoundAgainElsewhere) {
    const memory::GuestRam left = ram(before_, false);
    const std::vector<Gpa> from = {gpa(3), gpa(70), gpa(5)};
    const std::vector<Gpa> to = {gpa(60), gpa(4), gpa(5)};
    FrameCopy copy;
    ASSERT_TRUE(copy.take({&left}, from));
    EXPECT_EQ(copy.bytes(), 3 * kPageSize);
    swap_after(moves_between({{gpa(3), gpa(60)}, {gpa(70), gpa(4)}}));
    const memory::GuestRam right = ram(after_, true);
    EXPECT_EQ(compare_copy(copy, {&right}, to, {}, 8).value().different, 0U);
    page(after_, 4, true)[100] ^= std::byte{1};
    const FrameComparison found = compare_copy(copy, {&right}, to, {}, 8).value();
    ASSERT_EQ(found.different, 1U);
    EXPECT_EQ(found.differences.front().pfn, Pfn{4});
    EXPECT_FALSE(compare_copy(copy, {&right}, std::span(to).first(2), {}, 8));
    // Once more, with less: what is not resident costs nothing and is zero.
    const std::vector<Extent> resident = {{Bytes{offset(3, false)}, Bytes{kPageSize}}};
    ASSERT_TRUE(copy.take({&left, resident, true}, from));
    EXPECT_EQ(copy.bytes(), kPageSize);
    EXPECT_EQ(compare_copy(copy, {&right}, to, {}, 8).value().different, 2U);
    const std::vector<Gpa> nowhere = {Gpa{kHigh - kPageSize}};
    EXPECT_FALSE(copy.take({&left}, nowhere));
}

}  // namespace
}  // namespace jumpback::relocate
