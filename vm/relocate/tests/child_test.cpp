// SPDX-License-Identifier: GPL-2.0-or-later
//
// Work that crashes or hangs takes one item with it and no more.
#include "vm/relocate/child.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <thread>

namespace jumpback::relocate_check {
namespace {

TEST(ChildTest, AnswersComeBackInOrder) {
    const auto answers = run_in_children(50, 20, [](std::size_t item) {
        return ChildAnswer{static_cast<std::uint8_t>(item), "item " + std::to_string(item)};
    });
    ASSERT_TRUE(answers.ok());
    ASSERT_EQ(answers->size(), 50U);
    for (std::size_t item = 0; item < answers->size(); ++item) {
        EXPECT_EQ((*answers)[item].ending, ChildAnswer::kAnswered);
        EXPECT_EQ((*answers)[item].code, item);
        EXPECT_EQ((*answers)[item].text, "item " + std::to_string(item));
    }
}

TEST(ChildTest, ACrashIsOneItemsAnswer) {
    const auto answers = run_in_children(5, 20, [](std::size_t item) {
        if (item == 2) {
            std::raise(SIGSEGV);
        }
        return ChildAnswer{1, ""};
    });
    ASSERT_TRUE(answers.ok());
    for (std::size_t item = 0; item < 5; ++item) {
        EXPECT_EQ((*answers)[item].ending,
                  item == 2 ? ChildAnswer::kCrashed : ChildAnswer::kAnswered)
            << item;
    }
    EXPECT_NE((*answers)[2].text.find("Segmentation fault"), std::string::npos)
        << (*answers)[2].text;
}

TEST(ChildTest, OneThatHangsIsKilled) {
    const auto answers = run_in_children(3, 1, [](std::size_t item) {
        if (item == 1) {
            std::this_thread::sleep_for(std::chrono::hours(1));
        }
        return ChildAnswer{1, ""};
    });
    ASSERT_TRUE(answers.ok());
    EXPECT_EQ((*answers)[0].ending, ChildAnswer::kAnswered);
    EXPECT_EQ((*answers)[1].ending, ChildAnswer::kHung);
    EXPECT_EQ((*answers)[2].ending, ChildAnswer::kAnswered);
}

TEST(ChildTest, NothingToDoMakesNoProcess) {
    const auto answers = run_in_children(0, 1, [](std::size_t) { return ChildAnswer{}; });
    ASSERT_TRUE(answers.ok());
    EXPECT_TRUE(answers->empty());
}

}  // namespace
}  // namespace jumpback::relocate_check
