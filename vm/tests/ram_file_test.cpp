// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/ram_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "sparse_ram.h"
#include "temp_folder.h"

namespace jumpback {
namespace {

using test::SparseRam;
using test::TempFolder;

constexpr std::uint64_t kMiB = std::uint64_t{1024} * 1024;

std::string error_of(const TempFolder& folder, std::vector<RamRegion> regions) {
    const auto ram = RamFile::open(folder / "ram", std::move(regions));
    return ram.ok() ? "no error" : ram.error().message();
}

TEST(Q35Regions, SplitFollowsQemu) {
    using Regions = std::vector<RamRegion>;
    EXPECT_EQ(q35_regions(Bytes{256 * kMiB}).value(), (Regions{{Gpa{0}, 0, Bytes{256 * kMiB}}}));
    const std::uint64_t just_below = 0xb0000000 - kPageSize;
    EXPECT_EQ(q35_regions(Bytes{just_below}).value(), (Regions{{Gpa{0}, 0, Bytes{just_below}}}));
    EXPECT_EQ(q35_regions(Bytes{0xb0000000}).value(),
              (Regions{{Gpa{0}, 0, Bytes{0x80000000}},
                       {Gpa{0x100000000}, 0x80000000, Bytes{0x30000000}}}));
    EXPECT_FALSE(q35_regions(Bytes{0}).ok());
    EXPECT_FALSE(q35_regions(Bytes{4097}).ok());
}

TEST(RamFileTest, TranslatesBetweenGpaAndOffset) {
    const TempFolder folder;
    const SparseRam file(folder / "ram", 4 * kMiB);
    // Given out of order: they are sorted.
    const auto ram = RamFile::open(
        folder / "ram", {{Gpa{0x100000000}, 3 * kMiB, Bytes{kMiB}}, {Gpa{0}, 0, Bytes{3 * kMiB}}});
    ASSERT_TRUE(ram.ok()) << ram.error().message();
    EXPECT_EQ(ram->regions().front().gpa, Gpa{0});
    EXPECT_EQ(ram->offset_of(Gpa{3 * kMiB - 1}), 3 * kMiB - 1);
    EXPECT_EQ(ram->offset_of(Gpa{3 * kMiB}), std::nullopt);
    EXPECT_EQ(ram->offset_of(Gpa{0x100000000 + 5}), 3 * kMiB + 5);
    EXPECT_EQ(ram->gpa_at(3 * kMiB), Gpa{0x100000000});
    EXPECT_EQ(ram->gpa_at(4 * kMiB), std::nullopt);
    EXPECT_EQ(ram->at(Gpa{0x100000000}, Bytes{kMiB}).value().data(),
              ram->bytes().data() + 3 * kMiB);
    EXPECT_FALSE(ram->at(Gpa{0x100000001}, Bytes{kMiB}).ok()) << "beyond the region";
    EXPECT_FALSE(ram->at(Gpa{3 * kMiB}, Bytes{1}).ok()) << "not RAM";
    EXPECT_FALSE(ram->at(Gpa{0}, Bytes{~std::uint64_t{0}}).ok());
}

TEST(RamFileTest, RefusesWrongRegions) {
    const TempFolder folder;
    const SparseRam file(folder / "ram", 4 * kMiB);
    const auto contains = [&](std::vector<RamRegion> regions, const char* part) {
        const std::string message = error_of(folder, std::move(regions));
        EXPECT_NE(message.find(part), std::string::npos) << message;
    };
    contains({}, "no regions");
    contains({{Gpa{0}, 0, Bytes{0}}}, "empty");
    contains({{Gpa{8}, 0, Bytes{kPageSize}}}, "page-aligned");
    contains({{Gpa{0}, 0, Bytes{5 * kMiB}}}, "beyond the end");
    contains({{Gpa{0}, ~std::uint64_t{0xfff}, Bytes{kPageSize}}}, "beyond the end");
    contains({{Gpa{~std::uint64_t{0xfff}}, 0, Bytes{2 * kPageSize}}}, "wraps");
    contains({{Gpa{0}, 0, Bytes{kMiB}}, {Gpa{kMiB - kPageSize}, kMiB, Bytes{kMiB}}}, "overlaps");
    contains({{Gpa{0}, 0, Bytes{kMiB}}, {Gpa{4 * kMiB}, 0, Bytes{kMiB}}}, "overlaps");
    EXPECT_NE(RamFile::open(folder / "none", {}).error().what.find("No such file"),
              std::string::npos);
    EXPECT_NE(RamFile::open(folder.path(), {}).error().what.find("not a regular"),
              std::string::npos);
}

TEST(RamFileTest, SeesWhatIsWrittenLater) {
    const TempFolder folder;
    SparseRam file(folder / "ram", kMiB);
    const RamFile ram = file.open();
    file.put(5000, 0x42);
    EXPECT_EQ(ram.bytes()[5000], std::byte{0x42});
}

TEST(RamFileTest, CaptureCopiesDataAndKeepsHoles) {
    const TempFolder folder;
    constexpr unsigned kSeed = 7;
    SCOPED_TRACE(kSeed);
    SparseRam file(folder / "ram", 8 * kMiB);
    const std::uint64_t resident = file.fill_randomly(kSeed, 100);
    const RamFile ram = file.open();
    const auto extents = ram.extents().value();
    EXPECT_EQ(total_length(extents), resident);

    const auto stats = ram.capture(folder / "capture");
    ASSERT_TRUE(stats.ok()) << stats.error().message();
    EXPECT_EQ(stats->copied, Bytes{resident});
    EXPECT_EQ(test::extents_of(folder / "capture"), extents) << "holes stay holes, pages pages";
    EXPECT_EQ(test::contents(folder / "capture"), test::contents(folder / "ram"));
    EXPECT_EQ(test::extents_of(folder / "ram"), extents) << "RAM itself is left as it was";
    EXPECT_FALSE(std::filesystem::exists(folder / "capture.part"));
}

TEST(RamFileTest, CaptureIsAMomentAndOneChangedByteShows) {
    const TempFolder folder;
    SparseRam file(folder / "ram", kMiB);
    (void)file.fill_randomly(8, 20);
    const RamFile ram = file.open();
    ASSERT_TRUE(ram.capture(folder / "capture").ok());
    ASSERT_EQ(test::contents(folder / "capture"), test::contents(folder / "ram"));
    const std::uint64_t at = ram.extents().value().front().offset + 77;
    file.put(at, std::to_integer<int>(ram.bytes()[at] ^ std::byte{1}));
    const auto then = test::contents(folder / "capture");
    const auto now = test::contents(folder / "ram");
    const auto difference = std::mismatch(then.begin(), then.end(), now.begin());
    EXPECT_EQ(difference.first - then.begin(), static_cast<std::ptrdiff_t>(at));
}

TEST(RamFileTest, CapturesIntoAMemfd) {
    const TempFolder folder;
    SparseRam file(folder / "ram", kMiB);
    const std::uint64_t resident = file.fill_randomly(9, 30);
    const RamFile ram = file.open();
    UniqueFd memfd(::memfd_create("capture", MFD_CLOEXEC));
    ASSERT_TRUE(memfd.valid());
    EXPECT_EQ(ram.capture(memfd.get(), "memfd").value().copied, Bytes{resident});
    const auto copy = RamFile::adopt(std::move(memfd), ram.regions(), "memfd");
    ASSERT_TRUE(copy.ok());
    EXPECT_EQ(copy->extents().value(), ram.extents().value());
    EXPECT_EQ(std::memcmp(copy->bytes().data(), ram.bytes().data(), ram.bytes().size()), 0);
}

TEST(RamFileTest, FailedCaptureLeavesNothing) {
    const TempFolder folder;
    SparseRam file(folder / "ram", kMiB);
    const RamFile ram = file.open();
    const auto nowhere = ram.capture(folder / "none/capture");
    ASSERT_FALSE(nowhere.ok());
    EXPECT_NE(nowhere.error().what.find("No such file"), std::string::npos);
    std::filesystem::create_directory(folder / "taken");
    EXPECT_FALSE(ram.capture(folder / "taken").ok()) << "a folder has that name";
    EXPECT_FALSE(std::filesystem::exists(folder / "taken.part"));
    const UniqueFd read_only(::open((folder / "ram").c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_FALSE(ram.capture(read_only.get(), "read-only").ok());
}

TEST(RamFileTest, CapturingOntoItselfDoesNotDestroyRam) {
    const TempFolder folder;
    SparseRam file(folder / "ram", kMiB);
    (void)file.fill_randomly(10, 30);
    const RamFile ram = file.open();
    const auto before = test::contents(folder / "ram");
    EXPECT_TRUE(ram.capture(folder / "ram").ok());
    EXPECT_EQ(test::contents(folder / "ram"), before);
}

TEST(ExtentSets, SubtractAndIntersectAgreeWithBits) {
    constexpr unsigned kSeed = 11;
    SCOPED_TRACE(kSeed);
    std::mt19937 random(kSeed);
    const auto to_extents = [](std::uint32_t bits) {
        std::vector<Extent> extents;
        for (std::uint64_t i = 0; i < 32; ++i) {
            if ((bits >> i & 1U) == 0) {
                continue;
            }
            if (!extents.empty() && extents.back().end() == i) {
                ++extents.back().length;
            } else {
                extents.push_back({i, 1});
            }
        }
        return extents;
    };
    for (int round = 0; round < 20'000; ++round) {
        const auto a = static_cast<std::uint32_t>(random());
        const auto thin = static_cast<std::uint32_t>(random());
        const std::uint32_t b = thin & static_cast<std::uint32_t>(random());
        ASSERT_EQ(subtract(to_extents(a), to_extents(b)), to_extents(a & ~b)) << a << " " << b;
        ASSERT_EQ(intersect(to_extents(a), to_extents(b)), to_extents(a & b)) << a << " " << b;
    }
}

}  // namespace
}  // namespace jumpback
