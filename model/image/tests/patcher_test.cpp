// SPDX-License-Identifier: GPL-2.0-or-later
//
// A patched image is a valid image in which exactly the wanted pages differ.
#include "model/image/patcher.h"

#include <algorithm>

#include "model/image/diff.h"
#include "model/image/tests/image_fixture.h"
#include "model/image/verify.h"

namespace jumpback::swsusp::testing {
namespace {

using Case = std::tuple<Arch, Compression>;

class Patcher : public ::testing::TestWithParam<Case> {
  protected:
    void SetUp() override {
        const auto& [arch, compression] = GetParam();
        spec_ = make_spec({arch, 600, true, false}, random_);
        Placement placement;
        placement.compression = compression;
        placement.scatter_seed = seed();
        disk_ = make_disk(spec_, placement);
        before_ = disk_;
        image_ = must(read_image(disk_));
    }
    Pfn stored() { return image_.stored_pfns()[random_() % image_.stored_pfns().size()]; }
    ImageDiff difference() { return diff_images(image_, must(read_image(disk_))); }

    std::mt19937_64 random_{seed()};
    ImageSpec spec_;
    Octets disk_;
    Octets before_;
    HibernationImage image_;
};

TEST_P(Patcher, FlipsOneByte) {
    for (int i = 0; i < 10; ++i) {
        disk_ = before_;
        const Pfn pfn = stored();
        const auto offset = static_cast<std::size_t>(random_() % kPageSize);
        const PatchReport report = must(flip_byte(disk_, pfn, offset, 0x40));
        const ImageDiff diff = difference();
        ASSERT_EQ(diff.differing.size(), 1U);
        EXPECT_EQ(diff.differing[0].pfn, pfn);
        EXPECT_EQ(diff.differing[0].first_offset, offset);
        EXPECT_EQ(diff.differing[0].count, 1U);
        EXPECT_EQ(diff.differing[0].a ^ diff.differing[0].b, 0x40);
        EXPECT_TRUE(diff.only_a.empty() && diff.only_b.empty());
        EXPECT_EQ(report.pages.at(0).pfn, pfn);
        EXPECT_EQ(report.crc32_after, must(read_image(disk_)).header().swap.crc32);

        // Nothing but the page's own extents and the header's CRC32 may have changed on the disk.
        for (std::size_t at = 0; at < disk_.size(); ++at) {
            if (disk_[at] == before_[at] || (at >= kOffCrc32 && at < kOffCrc32 + 4)) {
                continue;
            }
            const auto& extents = report.pages[0].extents;
            ASSERT_TRUE(std::ranges::any_of(extents,
                                            [&](const DiskExtent& extent) {
                                                return at >= extent.offset &&
                                                       at < extent.offset + extent.length;
                                            }))
                << "disk byte " << at;
        }
    }
}

TEST_P(Patcher, SwapsPagesOfTwoUnits) {
    const Pfn a = image_.stored_pfns()[3];
    for (std::size_t i = image_.stored_pfns().size() - 1;; --i) {
        const Pfn b = image_.stored_pfns()[i];
        const auto swapped = swap_pages(disk_, a, b);
        if (!swapped.ok()) {
            // Incompressible pages may not fit: then nothing was touched, and the next is tried.
            ASSERT_EQ(disk_, before_);
            ASSERT_GT(i, 4U) << swapped.error().message();
            continue;
        }
        const HibernationImage now = must(read_image(disk_));
        EXPECT_TRUE(std::ranges::equal(now.page(a), image_.page(b)));
        EXPECT_TRUE(std::ranges::equal(now.page(b), image_.page(a)));
        EXPECT_EQ(difference().differing.size(), 2U);
        return;
    }
}

// The unit shrinks and grows by many pages' worth: zeros, text and noise for each page in turn.
TEST_P(Patcher, ReplacesWhatFitsAndRefusesTheRest) {
    int fitted = 0;
    for (int i = 0; i < 24; ++i) {
        disk_ = before_;
        Octets page(kPageSize);
        fill_page(page, random_);
        if (i % 3 == 0) {
            std::fill(page.begin(), page.end(), std::byte{0});
        }
        const Pfn pfn = stored();
        const auto replaced = replace_page(disk_, pfn, page);
        if (!replaced.ok()) {
            EXPECT_EQ(disk_, before_) << "an error must leave the disk alone";
            EXPECT_NE(replaced.error().what.find("choose another page"), std::string::npos);
            EXPECT_NE(replaced.error().where.find("unit "), std::string::npos);
            continue;
        }
        ++fitted;
        EXPECT_TRUE(std::ranges::equal(must(read_image(disk_)).page(pfn), page));
        EXPECT_LE(difference().differing.size(), 1U);
    }
    EXPECT_GE(fitted, 16);  // every page that is not noise
}

TEST_P(Patcher, CanLeaveTheCrcWrong) {
    PatchOptions options;
    options.fix_crc = false;
    ASSERT_TRUE(flip_byte(disk_, stored(), 7, 1, options).ok());
    const auto read = read_image(disk_);
    if (std::get<1>(GetParam()) == Compression::none) {
        EXPECT_TRUE(read.ok()) << "a raw image has no CRC32";
        return;
    }
    ASSERT_FALSE(read.ok());
    EXPECT_NE(read.error().where.find("crc32"), std::string::npos);
    EXPECT_EQ(verify_image(disk_).size(), 1U);
    options.parse.check_crc = false;
    options.fix_crc = true;
    ASSERT_TRUE(flip_byte(disk_, stored(), 8, 1, options).ok());
    EXPECT_TRUE(read_image(disk_).ok()) << "the CRC32 must cover the first change, too";
}

TEST_P(Patcher, RefusesWhatItCannotDo) {
    const auto refused = [&](Result<PatchReport> result, std::string_view what) {
        ASSERT_FALSE(result.ok());
        EXPECT_NE(result.error().what.find(what), std::string::npos) << result.error().message();
        EXPECT_EQ(disk_, before_);
    };
    ASSERT_FALSE(image_.zero_pfns().empty());
    refused(flip_byte(disk_, image_.zero_pfns()[0], 0), "was all zero");
    refused(flip_byte(disk_, Pfn{spec_.pfns.back().raw + 1}, 0), "not in the image");
    refused(flip_byte(disk_, stored(), 4096), "offset below 4096");
    refused(flip_byte(disk_, stored(), 0, 0), "mask other than 0");
    refused(swap_pages(disk_, stored(), Pfn{spec_.pfns.back().raw + 1}), "not in the image");
    const Pfn same = stored();
    refused(swap_pages(disk_, same, same), "hold the same bytes");
    refused(replace_page(disk_, stored(), Octets(4095)), "expected 4096");
    Octets empty(16 * kPageSize);
    EXPECT_FALSE(flip_byte(empty, stored(), 0).ok());
}

INSTANTIATE_TEST_SUITE_P(All, Patcher,
                         ::testing::Combine(::testing::Values(Arch::x86_64, Arch::i386),
                                            ::testing::Values(Compression::none, Compression::lzo,
                                                              Compression::lz4)),
                         [](const auto& tested) {
                             return cat(name_of(std::get<0>(tested.param)), "_",
                                        name_of(std::get<1>(tested.param)));
                         });

TEST(Diff, NamesPagesOnlyInOneAndZeroContent) {
    std::mt19937_64 random(seed());
    ImageSpec spec = make_spec({Arch::x86_64, 40, false, false}, random);
    std::fill_n(spec.data.begin() + 5 * kPageSize, kPageSize, std::byte{0});
    const HibernationImage a = must(read_image(make_disk(spec, {})));

    ImageSpec other = spec;  // without frame 0, with a further one, frame 5 as a zero page
    other.pfns.erase(other.pfns.begin());
    other.zero.erase(other.zero.begin());
    other.zero[4] = 1;
    other.data.erase(other.data.begin() + 5 * kPageSize, other.data.begin() + 6 * kPageSize);
    other.data.erase(other.data.begin(), other.data.begin() + kPageSize);
    const Pfn further{spec.pfns.back().raw + 2};
    other.pfns.push_back(further);
    other.zero.push_back(0);
    other.data.resize(other.data.size() + kPageSize, std::byte{1});
    other.num_physpages += 10;
    other.data[6 * kPageSize + 17] ^= std::byte{3};  // frame 8: 0 is gone and 5 has no data
    other.data[6 * kPageSize + 4095] ^= std::byte{3};
    const HibernationImage b = must(read_image(make_disk(other, {})));

    const ImageDiff diff = diff_images(a, b);
    EXPECT_EQ(diff.only_a, std::vector<Pfn>{spec.pfns[0]});
    EXPECT_EQ(diff.only_b, std::vector<Pfn>{further});
    ASSERT_EQ(diff.differing.size(), 1U);
    EXPECT_EQ(diff.differing[0].pfn, spec.pfns[8]);
    EXPECT_EQ(diff.differing[0].first_offset, 17U);
    EXPECT_EQ(diff.differing[0].count, 2U);
    EXPECT_EQ(diff.equal, 38U);
    EXPECT_FALSE(diff.same());
    EXPECT_TRUE(diff_images(a, a).same());
}

TEST(Verify, ListsEveryBrokenUnit) {
    std::mt19937_64 random(seed());
    Octets disk = make_disk(make_spec({Arch::x86_64, 600, false, false}, random), {});
    EXPECT_TRUE(verify_image(disk).empty());
    const HibernationImage image = must(read_image(disk));
    for (const std::size_t unit : {2U, 9U, 15U}) {
        const std::uint64_t page = image.swap_map().entries[image.units()[unit].first_entry];
        poke(disk, page * kPageSize + 8, ~std::uint64_t{0});
    }
    const auto problems = verify_image(disk);
    ASSERT_EQ(problems.size(), 3U);
    EXPECT_EQ(problems[0].where.find("unit 2,"), 0U);
    EXPECT_EQ(problems[1].where.find("unit 9,"), 0U);
    EXPECT_EQ(problems[2].where.find("unit 15,"), 0U);
    EXPECT_EQ(verify_image(disk, {}, 2).size(), 2U);
}

TEST(Writer, RefusesWhatDoesNotFit) {
    std::mt19937_64 random(seed());
    ImageSpec spec = make_spec({Arch::x86_64, 600, false, false}, random);
    for (const std::size_t pages : {1U, 2U, 3U, 50U}) {
        Octets disk(pages * kPageSize);
        const Status written = write_image(disk, spec, {});
        ASSERT_FALSE(written.ok());
        EXPECT_NE(written.error().what.find("too small"), std::string::npos);
    }
    spec.data.pop_back();
    EXPECT_FALSE(parts_of(spec).ok());
    spec.zero.pop_back();
    EXPECT_FALSE(parts_of(spec).ok());
}

}  // namespace
}  // namespace jumpback::swsusp::testing
