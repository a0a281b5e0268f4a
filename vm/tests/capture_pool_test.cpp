// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/capture_pool.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "sparse_ram.h"
#include "temp_folder.h"
#include "vm/copy_extents.h"

namespace jumpback {
namespace {

using test::SparseRam;
using test::TempFolder;

constexpr std::uint64_t kMiB = std::uint64_t{1024} * 1024;
constexpr std::uint64_t kSize = 64 * kMiB;

std::size_t files_in(const std::string& folder) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder),
                                                  std::filesystem::directory_iterator()));
}

class CapturePoolTest : public ::testing::Test {
  protected:
    CapturePoolTest() : file_(ram_folder_ / "ram", kSize) {
        resident_ = file_.fill_randomly(3, 500);
        pool_.emplace(CapturePool::create(folder_.path(), Bytes{kSize}, 2).value());
    }
    Capture capture() {
        auto taken = pool_->capture(file_.open());
        EXPECT_TRUE(taken.ok()) << (taken.ok() ? "" : taken.error().message());
        return std::move(taken).value();
    }
    // Same pages, same bytes, same holes; looks at the files, not at the pool's own books.
    void expect_equal(const std::string& capture_path) {
        const auto extents = test::extents_of(ram_folder_ / "ram");
        EXPECT_EQ(test::extents_of(capture_path), extents);
        EXPECT_EQ(test::contents(capture_path), test::contents(ram_folder_ / "ram"));
    }
    TempFolder ram_folder_;
    TempFolder folder_;
    SparseRam file_;
    std::uint64_t resident_ = 0;
    std::optional<CapturePool> pool_;
};

TEST_F(CapturePoolTest, CapturesWithAndWithoutPreparation) {
    {
        const Capture cold = capture();
        EXPECT_EQ(cold.stats().copied, Bytes{resident_});
        expect_equal(cold.path());
    }
    ASSERT_TRUE(pool_->prepare(file_.open()).ok());
    const Capture warm = capture();
    EXPECT_EQ(warm.stats().copied, Bytes{resident_});
    expect_equal(warm.path());
    EXPECT_EQ(std::memcmp(warm.bytes().data() + warm.extents().front().offset,
                          file_.open().bytes().data() + warm.extents().front().offset, kPageSize),
              0);
}

TEST_F(CapturePoolTest, PreparedPagesAreResidentBeforeTheCapture) {
    ASSERT_TRUE(pool_->prepare(file_.open()).ok());
    EXPECT_EQ(pool_->free(), 1U);
    const auto slot = std::filesystem::directory_iterator(folder_.path())->path().string();
    EXPECT_EQ(test::extents_of(slot), file_.open().extents().value());
}

TEST_F(CapturePoolTest, ReusedSlotKeepsNothingOfTheOlderCapture) {
    const TempFolder other_folder;
    SparseRam other(other_folder / "ram", kSize);
    const std::uint64_t other_resident = other.fill_randomly(4, 300);
    {
        const Capture first = capture();
        EXPECT_EQ(pool_->in_use(), 1U);
    }
    EXPECT_EQ(pool_->free(), 1U);
    const auto second = pool_->capture(other.open());
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(second->stats().copied, Bytes{other_resident});
    EXPECT_EQ(files_in(folder_.path()), 1U) << "the same slot";
    EXPECT_EQ(test::extents_of(second->path()), other.open().extents().value());
    EXPECT_EQ(test::contents(second->path()), test::contents(other_folder / "ram"));
}

// A reader of a capture fills holes of the slot; they must be holes again in the next capture.
TEST_F(CapturePoolTest, HolesFilledByReadersAreForgotten) {
    for (const bool prepared : {false, true}) {
        {
            const Capture first = capture();
            const auto bytes = first.bytes();
            EXPECT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{0xff}) > 0, true);
            EXPECT_EQ(test::extents_of(first.path()).size(), 1U) << "every hole was read";
        }
        if (prepared) {
            ASSERT_TRUE(pool_->prepare(file_.open()).ok());
        }
        const Capture second = capture();
        expect_equal(second.path());
    }
}

// RAM that changed between prepare() and capture(): new pages appear, others are given back.
TEST_F(CapturePoolTest, RamMayChangeAfterPreparation) {
    ASSERT_TRUE(pool_->prepare(file_.open()).ok());
    (void)file_.fill_randomly(5, 200);
    file_.punch(file_.open().extents().value().front());
    const Capture taken = capture();
    EXPECT_EQ(taken.extents(), file_.open().extents().value());
    expect_equal(taken.path());
}

TEST_F(CapturePoolTest, StaysWithinItsLimit) {
    std::optional<Capture> first = capture();
    const Capture second = capture();
    EXPECT_EQ(pool_->in_use(), 2U);
    const auto third = pool_->capture(file_.open());
    ASSERT_FALSE(third.ok());
    EXPECT_NE(third.error().what.find("all 2 capture slots"), std::string::npos);
    first.reset();
    EXPECT_TRUE(pool_->capture(file_.open()).ok());
    EXPECT_EQ(pool_->free(), 1U);
    EXPECT_EQ(files_in(folder_.path()), 2U);
}

TEST_F(CapturePoolTest, DetachedCaptureOutlivesThePool) {
    const TempFolder kept;
    {
        Capture taken = capture();
        ASSERT_TRUE(taken.detach(kept / "capture").ok());
        EXPECT_EQ(taken.path(), kept / "capture");
        EXPECT_EQ(pool_->in_use(), 0U);
        EXPECT_EQ(taken.bytes().size(), kSize) << "still mapped";
        EXPECT_FALSE(taken.detach(kept / "again").ok());
    }
    const Capture another = capture();
    pool_.reset();
    EXPECT_TRUE(std::filesystem::exists(another.path())) << "a capture keeps its pool's state";
    expect_equal(kept / "capture");
}

TEST_F(CapturePoolTest, DetachesToAnotherFileSystemByCopying) {
    const TempFolder kept("/tmp");
    struct stat here {};
    struct stat there {};
    ASSERT_EQ(::stat(folder_.path().c_str(), &here), 0);
    ASSERT_EQ(::stat(kept.path().c_str(), &there), 0);
    if (here.st_dev == there.st_dev) {
        GTEST_SKIP() << "/tmp and /dev/shm are one file system here";
    }
    {
        Capture taken = capture();
        const std::span<const std::byte> view = taken.bytes();
        ASSERT_TRUE(taken.detach(kept / "capture").ok());
        EXPECT_EQ(pool_->in_use(), 1U) << "the view of the slot must stay valid";
        EXPECT_EQ(view.data(), taken.bytes().data());
    }
    EXPECT_EQ(pool_->in_use(), 0U);
    EXPECT_EQ(test::contents(kept / "capture"), test::contents(ram_folder_ / "ram"));
    EXPECT_FALSE(capture().detach(kept / "none/capture").ok());
}

TEST_F(CapturePoolTest, LeavesNoFilesBehind) {
    (void)capture();
    ASSERT_TRUE(pool_->prepare(file_.open()).ok());
    EXPECT_EQ(files_in(folder_.path()), 1U);
    pool_.reset();
    EXPECT_EQ(files_in(folder_.path()), 0U);
}

TEST_F(CapturePoolTest, RefusesWhatDoesNotFit) {
    const TempFolder other_folder;
    const SparseRam other(other_folder / "ram", kMiB);
    EXPECT_FALSE(pool_->capture(other.open()).ok());
    EXPECT_FALSE(pool_->prepare(other.open()).ok());
    EXPECT_FALSE(CapturePool::create(folder_ / "none", Bytes{kSize}, 1).ok());
    EXPECT_FALSE(CapturePool::create(folder_.path(), Bytes{1}, 1).ok());
    EXPECT_FALSE(CapturePool::create(folder_.path(), Bytes{kSize}, 0).ok());
}

TEST(CopyExtents, EveryNumberOfWorkersCopiesTheSame) {
    std::vector<std::byte> from(24 * kMiB);
    for (std::size_t i = 0; i < from.size(); ++i) {
        from[i] = static_cast<std::byte>(i * 31 >> 3);
    }
    const std::vector<Extent> extents = {{0, 9 * kMiB + 1}, {10 * kMiB, 1}, {11 * kMiB, 13 * kMiB}};
    std::vector<std::byte> expected(from.size());
    for (const Extent& extent : extents) {
        std::memcpy(expected.data() + extent.offset, from.data() + extent.offset,
                    static_cast<std::size_t>(extent.length));
    }
    for (unsigned workers = 0; workers <= 4; ++workers) {
        std::vector<std::byte> to(from.size());
        copy_extents(to.data(), from, extents, workers);
        EXPECT_TRUE(to == expected) << workers << " workers";
    }
}

}  // namespace
}  // namespace jumpback
