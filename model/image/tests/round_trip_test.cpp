// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the writer puts on a disk, the reader gets back: every architecture, kernel layout,
// compression and placement.
#include <algorithm>
#include <tuple>

#include "model/image/crc32.h"
#include "model/image/tests/image_fixture.h"

namespace jumpback::swsusp::testing {
namespace {

enum class Layout { before_5_13, v5_10, v6_1, v6_12, v7_3 };

using Case = std::tuple<Arch, Layout, Compression, bool>;

std::string name_of_case(const ::testing::TestParamInfo<Case>& info) {
    static constexpr std::string_view kLayouts[] = {"md5", "v5_10", "v6_1", "v6_12", "v7_3"};
    const auto& [arch, layout, compression, scattered] = info.param;
    return cat(name_of(arch), "_", kLayouts[static_cast<std::size_t>(layout)], "_",
               name_of(compression), scattered ? "_scattered" : "");
}

class RoundTrip : public ::testing::TestWithParam<Case> {
  protected:
    void SetUp() override {
        const auto& [arch, layout, compression, scattered] = GetParam();
        std::mt19937_64 random(seed());
        SpecShape shape;
        shape.arch = arch;
        shape.frames = 1300;  // more than one i386 meta page, and an uneven last unit
        shape.zero_pages = layout >= Layout::v6_12;
        shape.md5_digest = layout == Layout::before_5_13;
        spec_ = make_spec(shape, random);
        placement_.compression = compression;
        placement_.late_map_pages = layout == Layout::v7_3;
        if (layout >= Layout::v6_1) {
            placement_.hardware_signature = 0xabcd1234;
        }
        if (scattered) {
            placement_.scatter_seed = seed();
        }
    }
    ImageSpec spec_;
    Placement placement_;
};

TEST_P(RoundTrip, GivesBackEveryFrame) {
    const auto& [arch, layout, compression, scattered] = GetParam();
    const Octets disk = make_disk(spec_, placement_);
    const HibernationImage image = must(read_image(disk));
    const ImageHeader& header = image.header();

    EXPECT_EQ(header.info.arch, arch);
    EXPECT_EQ(header.compression, compression);
    EXPECT_EQ(header.info.jump_address, spec_.jump_address);
    EXPECT_EQ(header.info.jump_address_phys, spec_.jump_address_phys);
    EXPECT_EQ(header.info.cr3, spec_.cr3);
    EXPECT_EQ(header.info.md5_digest, spec_.md5_digest);
    EXPECT_EQ(header.info.e820_checksum, spec_.md5_digest ? 0 : spec_.e820_checksum);
    EXPECT_EQ(header.info.num_physpages, spec_.num_physpages);
    EXPECT_EQ(header.swap.hardware_signature, placement_.hardware_signature);
    EXPECT_EQ(header.swap.signature, "S1SUSPEND");
    EXPECT_EQ(header.swap.original_signature, "SWAPSPACE2");
    EXPECT_TRUE(header.crc_matches());
    static constexpr std::string_view kNames[] = {"before 5.13", "5.13 or later", "5.17 or later",
                                                  "6.6 or later", "6.6 or later"};
    const bool lz4 = compression == Compression::lz4;  // that alone says 6.12
    EXPECT_EQ(header.layout, lz4 ? "6.9 or later" : kNames[static_cast<std::size_t>(layout)]);

    EXPECT_TRUE(std::ranges::equal(image.pfns(), spec_.pfns));
    EXPECT_TRUE(std::ranges::equal(image.zero_flags(), spec_.zero));
    ASSERT_EQ(image.data().size(), spec_.data.size());
    EXPECT_TRUE(std::ranges::equal(image.data(), spec_.data));
    EXPECT_EQ(image.stored_pfns().size() + image.zero_pfns().size(), spec_.pfns.size());

    std::size_t stored = 0;
    for (std::size_t i = 0; i < spec_.pfns.size(); ++i) {
        const ByteView page = image.page(spec_.pfns[i]);
        ASSERT_EQ(page.size(), kPageSize);
        const Octets zeros(kPageSize);
        const ByteView expected =
            spec_.zero[i] != 0 ? ByteView(zeros)
                               : ByteView(spec_.data).subspan(stored++ * kPageSize, kPageSize);
        ASSERT_TRUE(std::ranges::equal(page, expected)) << "pfn " << spec_.pfns[i].raw;
    }
    EXPECT_TRUE(image.page(Pfn{spec_.pfns.back().raw + 1}).empty());
}

// Spoiling the very bytes that location() names must be noticed, and only there.
TEST_P(RoundTrip, LocationNamesTheBytes) {
    Octets disk = make_disk(spec_, placement_);
    const HibernationImage image = must(read_image(disk));
    std::mt19937_64 random(seed() + 1);
    for (int i = 0; i < 20; ++i) {
        const Pfn pfn = image.pfns()[random() % image.pfns().size()];
        const PageLocation at = image.location(pfn).value();
        EXPECT_EQ(at.pfn, pfn);
        std::uint64_t length = 0;
        for (const DiskExtent& extent : at.extents) {
            ASSERT_LE(extent.offset + extent.length, disk.size());
            length += extent.length;
        }
        EXPECT_EQ(length, at.entries * kPageSize);
        if (at.zero) {
            EXPECT_LT(at.stream_page, image.header().info.meta_pages());
            EXPECT_TRUE(std::ranges::all_of(image.page(pfn),
                                            [](std::byte b) { return b == std::byte{0}; }));
        } else if (at.compressed) {
            const Unit& unit = image.units()[at.unit];
            EXPECT_EQ(at.first_entry, unit.first_entry);
            const std::uint64_t word = load_word(ByteView(disk).subspan(at.extents[0].offset), 0,
                                                 image.header().info.arch);
            EXPECT_EQ(word, unit.compressed);
            EXPECT_EQ(at.stream_page, at.unit * kUnitPages + at.unit_page);
        } else {
            EXPECT_TRUE(std::ranges::equal(ByteView(disk).subspan(at.extents[0].offset, kPageSize),
                                           image.page(pfn)));
        }
    }
    EXPECT_FALSE(image.location(Pfn{spec_.pfns.back().raw + 1}).has_value());
}

INSTANTIATE_TEST_SUITE_P(
    All, RoundTrip,
    ::testing::Combine(::testing::Values(Arch::x86_64, Arch::i386),
                       ::testing::Values(Layout::before_5_13, Layout::v5_10, Layout::v6_1,
                                         Layout::v6_12, Layout::v7_3),
                       ::testing::Values(Compression::none, Compression::lzo, Compression::lz4),
                       ::testing::Bool()),
    name_of_case);

// The map page boundary: 510, 511 and 512 entries, with both ways to begin the next map page.
TEST(SwapMapBoundary, FullMapPages) {
    std::mt19937_64 random(seed());
    for (const std::size_t pages : {509U, 510U, 511U, 512U, 1021U, 1022U, 1023U}) {
        for (const bool late : {false, true}) {
            // info + meta + frames = pages entries
            const std::size_t meta = (pages - 1 + 512) / 513;
            const ImageSpec spec =
                make_spec({Arch::x86_64, pages - 1 - meta, false, false}, random);
            Placement placement;
            placement.compression = Compression::none;
            placement.late_map_pages = late;
            const HibernationImage image = must(read_image(make_disk(spec, placement)));
            EXPECT_EQ(image.header().disk_pages, pages);
            EXPECT_EQ(image.header().map_pages,
                      late ? (pages + kMapEntries - 1) / kMapEntries : pages / kMapEntries + 1);
            EXPECT_TRUE(std::ranges::equal(image.data(), spec.data));
        }
    }
}

// A pfn list that fills its last page has no end mark.
TEST(PfnListBoundary, ExactlyFullMetaPage) {
    std::mt19937_64 random(seed());
    for (const Arch arch : {Arch::x86_64, Arch::i386}) {
        for (const std::size_t frames :
             {pfns_per_page(arch) - 1, pfns_per_page(arch), pfns_per_page(arch) + 1}) {
            const ImageSpec spec = make_spec({arch, frames, true, false}, random);
            const HibernationImage image = must(read_image(make_disk(spec, {})));
            EXPECT_EQ(image.header().info.meta_pages(), frames > pfns_per_page(arch) ? 2U : 1U);
            EXPECT_TRUE(std::ranges::equal(image.pfns(), spec.pfns));
        }
    }
}

TEST(HeaderPage, AtAnOffsetAsInASwapFile) {
    std::mt19937_64 random(seed());
    const ImageSpec spec = make_spec({}, random);
    Placement placement;
    placement.header_page = 300;
    placement.first_page = 301;
    const Octets disk = make_disk(spec, placement);
    EXPECT_FALSE(read_image(disk).ok());
    ParseOptions options;
    options.header_page = 300;
    EXPECT_TRUE(std::ranges::equal(must(read_image(disk, options)).data(), spec.data));
}

TEST(Consumed, ReadWithIgnoreSignature) {
    std::mt19937_64 random(seed());
    const ImageSpec spec = make_spec({}, random);
    Octets disk = make_disk(spec, {});
    std::memcpy(disk.data() + kOffSig, kSigSwap2.data(), kSigLength);  // as swsusp_check does
    const auto refused = read_image(disk);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().what.find("An image was here"), std::string::npos);
    ParseOptions options;
    options.ignore_signature = true;
    const HibernationImage image = must(read_image(disk, options));
    EXPECT_TRUE(image.header().swap.consumed);
    EXPECT_TRUE(std::ranges::equal(image.data(), spec.data));

    // swapon and mkswap leave the map page alone: with it given, a lost header field does not
    // matter.
    const auto start = load<std::uint64_t>(disk, kOffImage);
    poke(disk, kOffImage, std::uint64_t{0});
    EXPECT_FALSE(read_image(disk, options).ok());
    options.image_start = start;
    EXPECT_TRUE(read_image(disk, options).ok());
}

TEST(Crc32, IsTheKernels) {
    // The check value of CRC-32 is 0xcbf43926 with both inversions; crc32_le has neither.
    const std::string_view text = "123456789";
    const ByteView bytes(reinterpret_cast<const std::byte*>(text.data()), text.size());
    EXPECT_EQ(~crc32_le(~0U, bytes), 0xcbf43926U);
    EXPECT_EQ(crc32_le(0, bytes), 0x2dfd2d88U);
    EXPECT_EQ(crc32_le(crc32_le(0, bytes.first(4)), bytes.subspan(4)), crc32_le(0, bytes));
}

}  // namespace
}  // namespace jumpback::swsusp::testing
