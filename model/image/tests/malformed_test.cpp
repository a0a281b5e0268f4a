// SPDX-License-Identifier: GPL-2.0-or-later
//
// One case for each check of the reader: spoil one thing, expect the error that names its place.
// Each case is good but for that thing, so it goes green-to-red when its check is removed.
#include "model/image/crc32.h"
#include "model/image/tests/image_fixture.h"

namespace jumpback::swsusp::testing {
namespace {

struct Sample {
    ImageSpec spec;
    Placement placement;
};

// 700 frames, contiguous from page 1: map page 1, info page 2, stream from page 3.
Sample sample(Arch arch, Compression compression, bool zero_pages = false) {
    std::mt19937_64 random(seed());
    Sample out;
    out.spec = make_spec({arch, 700, zero_pages, false}, random);
    out.placement.compression = compression;
    return out;
}

void expect_error(const Octets& disk, const std::string& where, const std::string& what,
                  const ParseOptions& options = {}) {
    const auto result = read_image(disk, options);
    ASSERT_FALSE(result.ok()) << "expected an error with \"" << what << "\"";
    EXPECT_NE(result.error().where.find(where), std::string::npos) << result.error().message();
    EXPECT_NE(result.error().what.find(what), std::string::npos) << result.error().message();
}

constexpr std::size_t kMap = 1 * kPageSize;   // first swap map page
constexpr std::size_t kInfo = 2 * kPageSize;  // swsusp_info
constexpr std::size_t kData = 3 * kPageSize;  // stream

class Malformed : public ::testing::TestWithParam<Spoiled> {};

std::string spoiled_name(const ::testing::TestParamInfo<Spoiled>& info) { return info.param.name; }

class MalformedLzo : public Malformed {};
TEST_P(MalformedLzo, IsNamed) {
    const auto [spec, placement] = sample(Arch::x86_64, Compression::lzo);
    ImageParts parts = must(parts_of(spec));
    if (GetParam().parts) {
        GetParam().parts(parts);
    }
    Octets disk(1024 * kPageSize);
    ASSERT_TRUE(lay_out(disk, parts, placement).ok());
    if (GetParam().disk) {
        GetParam().disk(disk);
    }
    expect_error(disk, GetParam().where, GetParam().what);
}

class MalformedRaw : public Malformed {};
TEST_P(MalformedRaw, IsNamed) {
    const auto [spec, placement] = sample(Arch::i386, Compression::none);
    ImageParts parts = must(parts_of(spec));
    if (GetParam().parts) {
        GetParam().parts(parts);
    }
    Octets disk(1024 * kPageSize);
    ASSERT_TRUE(lay_out(disk, parts, placement).ok());
    if (GetParam().disk) {
        GetParam().disk(disk);
    }
    expect_error(disk, GetParam().where, GetParam().what);
}

template <typename T>
Spoiled disk_case(std::string name, std::size_t offset, T value, std::string where,
                  std::string what) {
    return {std::move(name),
            {},
            [=](Octets& disk) { poke(disk, offset, value); },
            std::move(where),
            std::move(what)};
}

using U32 = std::uint32_t;
using U64 = std::uint64_t;

INSTANTIATE_TEST_SUITE_P(
    Header, MalformedLzo,
    ::testing::Values(
        disk_case<U64>("signature", kOffSig, 0x4141414141414141, "signature at disk offset 0xff6",
                       "no swap area"),
        disk_case<U32>("flags_unknown", kOffFlags, kFlagCrc32 | 64, "flags at disk offset 0xfe8",
                       "known bits"),
        disk_case<U32>("flags_nocompress_crc", kOffFlags, kFlagCrc32 | kFlagNoCompress, "flags",
                       "nocompress together with crc32"),
        disk_case<U32>("flags_no_crc", kOffFlags, 0, "flags", "without crc32"),
        disk_case<U32>("flags_wrong_codec", kOffFlags, kFlagCrc32 | kFlagLz4, "unit 0",
                       "LZ4 data does not decompress"),
        disk_case<U64>("image_start_zero", kOffImage, 0, "image at disk offset 0xfe0",
                       "first swap map page 0"),
        disk_case<U64>("image_start_outside", kOffImage, 1024, "image at disk offset 0xfe0",
                       "expected 1 to 1023"),
        disk_case<U64>("original_signature", kOffOrigSig, 0, "original signature", "SWAPSPACE2"),
        disk_case<U32>("crc", kOffCrc32, 0x600df00d, "crc32 at disk offset 0xfdc",
                       "found 0x600df00d")),
    spoiled_name);

INSTANTIATE_TEST_SUITE_P(
    Info, MalformedLzo,
    ::testing::Values(
        disk_case<U64>("magic", kInfo + 24, 7, "disk offset 0x2000, magic", "expected 0x23456789"),
        disk_case<U64>("jump_address", kInfo, 0xffffffff81001234, "jump_address (byte 0)",
                       "same offset in its page"),
        disk_case<U64>("jump_address_phys", kInfo + 8, U64{1} << 60, "jump_address_phys",
                       "physical address"),
        disk_case<U64>("cr3", kInfo + 16, 0x2000001, "cr3", "multiple of 4096"),
        disk_case<U64>("e820", kInfo + 32, U64{1} << 40, "e820_checksum", "32 bits"),
        disk_case<U32>("version_code", kInfo + 392, 0x60100, "version_code", "expected 0"),
        disk_case<U32>("cpus", kInfo + 408, 2, "cpus", "expected 0"),
        disk_case<U32>("padding", kInfo + 396, 1, "padding (byte 396)", "expected 0"),
        disk_case<U64>("num_physpages", kInfo + 400, U64{1} << 50, "num_physpages",
                       "expected 1 to"),
        disk_case<U64>("num_physpages_small", kInfo + 400, 699, "image_pages",
                       "expected 1 to num_physpages 699"),
        disk_case<U64>("image_pages", kInfo + 416, 0, "image_pages", "found 0"),
        disk_case<U64>("image_pages_huge", kInfo + 416, U64{1} << 60, "image_pages",
                       "expected 1 to"),
        disk_case<U64>("pages_huge", kInfo + 424, U64{1} << 60, "pages (byte 424)", "meta pages"),
        disk_case<U64>("pages_small", kInfo + 424, 701, "pages (byte 424)", "meta pages"),
        disk_case<U64>("size", kInfo + 432, 4096, "size", "expected pages 703 * 4096"),
        disk_case<std::uint8_t>("uts", kInfo + 77, 'x', "reserved (byte 77)", "expected 0"),
        disk_case<std::uint8_t>("tail", kInfo + 4095, 1, "reserved (byte 4095)", "expected 0")),
    spoiled_name);

INSTANTIATE_TEST_SUITE_P(
    SwapMap, MalformedLzo,
    ::testing::Values(
        disk_case<U64>("entry_outside", kMap + 5 * 8, 5000,
                       "swap map page 0 at disk offset 0x1000, slot 5", "outside the disk"),
        disk_case<U64>("entry_twice", kMap + 5 * 8, 4, "slot 5", "it is entry 2"),
        disk_case<U64>("entry_header", kMap + 5 * 8, U64{1} << 63, "slot 5", "outside"),
        disk_case<U64>("entry_map_page", kMap + 5 * 8, 1, "slot 5", "it is swap map page 0"),
        disk_case<U64>("next_of_partial", kMap + 511 * 8, 900, "next_swap", "expected 0"),
        disk_case<U64>("entry_after_end", kMap + 510 * 8, 900, "slot 510", "expected 0"),
        disk_case<U64>("no_entries", kMap, 0, "slot 1", "expected 0"),
        Spoiled{"empty_map",
                {},
                [](Octets& disk) { std::fill_n(disk.begin() + kMap, kPageSize, std::byte{0}); },
                "swap map page 0 at disk offset 0x1000",
                "no entries"}),
    spoiled_name);

INSTANTIATE_TEST_SUITE_P(
    Units, MalformedLzo,
    ::testing::Values(
        disk_case<U64>("length_zero", kData, 0, "unit 0, entry 1", "compressed length 0"),
        disk_case<U64>("length_huge", kData, kMaxCompressed + 1, "unit 0", "expected 1 to 139333"),
        disk_case<U64>("length_cut", kData, 100, "unit 0", "ends too early"),
        disk_case<U64>("garbage", kData + 8, 0xffffffffffffff21, "unit 0",
                       "before the unit's start"),
        Spoiled{"entry_missing",
                {},
                [](Octets& disk) {
                    // Takes the last entry of the list away.
                    std::size_t slot = 0;
                    while (load<U64>(disk, kMap + (slot + 1) * 8) != 0) {
                        ++slot;
                    }
                    poke(disk, kMap + slot * 8, U64{0});
                },
                "unit ",
                "entries"},
        Spoiled{"entry_too_many",
                {},
                [](Octets& disk) {
                    std::size_t slot = 0;
                    while (load<U64>(disk, kMap + slot * 8) != 0) {
                        ++slot;
                    }
                    poke(disk, kMap + slot * 8, U64{1000});
                },
                "entry ",
                "expected no further"},
        // Pages are added to the stream that info does not know of: the last unit is too long.
        Spoiled{"unit_too_long",
                [](ImageParts& parts) { parts.stream.resize(parts.stream.size() + 3 * kPageSize); },
                {},
                "unit 21",
                "more than the unit's"},
        Spoiled{"unit_too_short",
                [](ImageParts& parts) { parts.stream.resize(parts.stream.size() - 3 * kPageSize); },
                {},
                "unit 21",
                "expected 122880"}),
    spoiled_name);

Spoiled pfn_case(std::string name, std::size_t slot, U64 value, std::string where,
                 std::string what) {
    return {std::move(name),
            [=](ImageParts& parts) { store(ByteSpan(parts.stream), slot * 8, value); },
            {},
            std::move(where),
            std::move(what)};
}

INSTANTIATE_TEST_SUITE_P(
    Pfns, MalformedLzo,
    ::testing::Values(
        pfn_case("beyond", 699, U64{1} << 41, "meta page 1 slot 187, unit 0", "expected below"),
        pfn_case("descending", 600, 1, "meta page 1 slot 88", "ascending"),
        pfn_case("ends_early", 300, ~U64{0}, "meta page 0 slot 300", "in the last of 2 meta pages"),
        pfn_case("ends_in_last_page", 690, ~U64{0}, "meta page 1 slot 179", "after the end mark"),
        pfn_case("after_end", 701, 1, "meta page 1 slot 189", "after the end mark"),
        pfn_case("no_end_mark", 700, 0, "meta page 1 slot 188", "after"),
        Spoiled{"twice",
                [](ImageParts& parts) {
                    store(ByteSpan(parts.stream), 11 * 8, load<U64>(parts.stream, 10 * 8));
                },
                {},
                "meta page 0 slot 11",
                "same frame twice"},
        Spoiled{"zero_flag_uncounted",
                [](ImageParts& parts) {
                    store(ByteSpan(parts.stream), 10 * 8,
                          load<U64>(parts.stream, 10 * 8) | (U64{1} << 63));
                },
                {},
                "meta page 1 slot 188",
                "expected image_pages 700"}),
    spoiled_name);

INSTANTIATE_TEST_SUITE_P(
    I386, MalformedRaw,
    ::testing::Values(
        disk_case<U32>("magic", kInfo + 12, 7, "magic", "0x12345679"),
        disk_case<U32>("cr3", kInfo + 8, 0x2000010, "cr3", "multiple of 32"),
        disk_case<U32>("size", kInfo + 412, 0, "size (byte 412)", "modulo 2^32"),
        disk_case<U32>("pages", kInfo + 408, 720, "pages (byte 408)", "expected 702 to"),
        disk_case<U32>("tail", kInfo + 416, 1, "reserved (byte 416)", "expected 0"),
        disk_case<U32>("uts", kInfo + 20, 1, "reserved (byte 20)", "expected 0"),
        disk_case<U32>("pfn_beyond", kData + 4 * 699, 1U << 25,
                       "meta page 0 slot 699, disk offset 0x3000", "expected below 0x1000000"),
        Spoiled{"entries",
                [](ImageParts& parts) { parts.stream.resize(parts.stream.size() + kPageSize); },
                {},
                "swap map",
                "holds 703 entries, expected 702"}),
    spoiled_name);

TEST(Chain, CycleIsACycle) {
    std::mt19937_64 random(seed());
    const ImageSpec spec = make_spec({Arch::x86_64, 1200, false, false}, random);
    Placement placement;
    placement.compression = Compression::none;
    Octets disk = make_disk(spec, placement);
    const HibernationImage image = must(read_image(disk));
    ASSERT_EQ(image.swap_map().map_pages.size(), 3U);
    const auto second = image.swap_map().map_pages[1];
    poke(disk, second * kPageSize + kMapEntries * 8, image.swap_map().map_pages[0]);
    expect_error(disk, "swap map page 1 at " + disk_offset(second) + ", next_swap",
                 "it is swap map page 0");
    poke(disk, second * kPageSize + kMapEntries * 8, U64{1} << 52);
    expect_error(disk, "next_swap", "outside the disk");
    poke(disk, second * kPageSize + kMapEntries * 8, U64{0});  // the third map page is lost
    expect_error(disk, "swap map", "entries, expected 1204");
}

TEST(Limits, CallerKnowsTheRam) {
    const auto [spec, placement] = sample(Arch::x86_64, Compression::lzo);
    const Octets disk = make_disk(spec, placement);
    ParseOptions options;
    options.pfn_limit = spec.pfns.back().raw + 1;
    EXPECT_TRUE(read_image(disk, options).ok());
    options.pfn_limit = spec.pfns.back().raw;
    expect_error(disk, "meta page 1 slot 187", "expected below", options);
}

TEST(Limits, MoreFramesThanRam) {
    const auto [spec, placement] = sample(Arch::x86_64, Compression::lzo, true);
    Octets disk = make_disk(spec, placement);
    poke(disk, kInfo + 400, U64{699});  // more than the stored frames, less than all
    expect_error(disk, "pfn list", "expected at most num_physpages 699");
}

TEST(Options, ToleranceIsAskedFor) {
    const auto [spec, placement] = sample(Arch::x86_64, Compression::lzo);
    Octets disk = make_disk(spec, placement);
    poke(disk, kInfo + 4000, U32{1});
    ParseOptions options;
    options.check_reserved = false;
    EXPECT_FALSE(read_image(disk).ok());
    EXPECT_TRUE(read_image(disk, options).ok());
    poke(disk, kOffCrc32, U32{1});
    EXPECT_FALSE(read_image(disk, options).ok());
    options.check_crc = false;
    const HibernationImage image = must(read_image(disk, options));
    EXPECT_FALSE(image.header().crc_matches());
}

TEST(NoImage, PlainSwapAndOther) {
    Octets disk(64 * kPageSize);
    expect_error(disk, "signature at disk offset 0xff6", "no hibernation image and no swap area");
    write_swap_area(disk);
    expect_error(disk, "signature at disk offset 0xff6", "no hibernation image: plain swap area");
    expect_error({}, "swap header page 0", "outside the buffer of 0 bytes");
    expect_error(Octets(4095), "swap header page 0", "outside the buffer");
    ParseOptions options;
    options.header_page = 64;
    expect_error(disk, "swap header page 64", "64 whole pages", options);
}

// Every cut and a sample of every single-bit error, in all formats: an error or the same pages, no
// crash.
class Damage : public ::testing::TestWithParam<Compression> {};

TEST_P(Damage, TruncatedAnywhere) {
    const auto [spec, placement] = sample(Arch::x86_64, GetParam());
    const Octets disk = make_disk(spec, placement, 1024);
    const HibernationImage image = must(read_image(disk));
    const std::uint64_t used = image.swap_map().entries.back() + 1;
    for (std::uint64_t page = 0; page < used; ++page) {
        for (const std::size_t extra : {0U, 4095U}) {
            const auto cut = read_image(ByteView(disk).first(page * kPageSize + extra));
            ASSERT_FALSE(cut.ok()) << page << " pages and " << extra;
            ASSERT_FALSE(cut.error().where.empty());
        }
    }
    EXPECT_TRUE(read_image(ByteView(disk).first(used * kPageSize)).ok());
}

TEST_P(Damage, BitFlips) {
    const auto [spec, placement] = sample(Arch::x86_64, GetParam(), true);
    Octets disk = make_disk(spec, placement, 1024);
    const HibernationImage good = must(read_image(disk));
    const std::uint64_t used = good.swap_map().entries.back() + 1;
    std::mt19937_64 random(seed());
    for (int i = 0; i < 200; ++i) {
        const std::size_t at = random() % (used * kPageSize);
        const auto bit = static_cast<std::byte>(1U << random() % 8);
        disk[at] ^= bit;
        const auto read = read_image(disk);
        // Without compression there is no CRC32: data may differ there. Else it is an error, or the
        // byte is padding, boot block or unused header and all pages are the same.
        if (read.ok() && GetParam() != Compression::none) {
            ASSERT_TRUE(std::ranges::equal(read->stream(), good.stream())) << "byte " << at;
        }
        disk[at] ^= bit;
    }
}

INSTANTIATE_TEST_SUITE_P(All, Damage,
                         ::testing::Values(Compression::none, Compression::lzo, Compression::lz4),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

}  // namespace
}  // namespace jumpback::swsusp::testing
