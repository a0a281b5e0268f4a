// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/fuzz/mutate.h"

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "model/image/codec.h"
#include "model/image/patcher.h"
#include "model/image/swsusp_image.h"

namespace jumpback::swsusp::fuzz {
namespace {

class Mutator {
  public:
    Mutator(ByteSpan disk, std::uint64_t seed) : disk_(disk), random_(seed) {}

    bool run() {
        if (disk_.size() < 4 * kPageSize) {
            return false;
        }
        const auto swap = read_swap_header(disk_, {});
        if (!swap.ok()) {
            std::memcpy(disk_.data() + kOffSig, kSigImage.data(), kSigLength);
            std::memcpy(disk_.data() + kOffOrigSig, kSigSwap2.data(), kSigLength);
            header_field();
            return true;
        }
        const auto map = read_swap_map(disk_, 0, swap->image_start);
        const std::uint64_t choice = random_() % 8;
        if (!map.ok() || choice == 0) {
            header_field();
            return true;
        }
        if (choice == 1) {
            map_entry(*map);
        } else if (choice == 2) {
            info_field(*map);
        } else if (choice == 3) {
            stream_bytes(*map);
        } else {
            unit_content();
        }
        fix_crc();
        return true;
    }

  private:
    std::uint64_t value(std::uint64_t old) {
        const std::array<std::uint64_t, 10> interesting{0,
                                                        1,
                                                        old + 1,
                                                        old - 1,
                                                        old ^ (std::uint64_t{1} << random_() % 64),
                                                        ~std::uint64_t{0},
                                                        0x7fffffff,
                                                        disk_.size() / kPageSize,
                                                        disk_.size() / kPageSize - 1,
                                                        random_() % 4096};
        return interesting[random_() % interesting.size()];
    }

    void word_at(std::size_t offset, std::size_t width) {
        if (width == 8) {
            store(disk_, offset, value(load<std::uint64_t>(disk_, offset)));
        } else {
            store(disk_, offset,
                  static_cast<std::uint32_t>(value(load<std::uint32_t>(disk_, offset))));
        }
    }

    void header_field() {
        switch (random_() % 4) {
            case 0:
                word_at(kOffFlags, 4);
                break;
            case 1:
                store(disk_, kOffFlags, static_cast<std::uint32_t>(random_() % 32));
                break;
            case 2:
                word_at(kOffImage, 8);
                break;
            default:
                store(disk_, kOffImage, random_() % (disk_.size() / kPageSize));
        }
    }

    void map_entry(const SwapMap& map) {
        const std::uint64_t page = map.map_pages[random_() % map.map_pages.size()];
        const std::size_t used = std::min<std::size_t>(map.entries.size() + 1, kMapEntries);
        const std::size_t slot = random_() % 8 == 0 ? kMapEntries : random_() % used;
        word_at(static_cast<std::size_t>(page * kPageSize) + slot * 8, 8);
    }

    void info_field(const SwapMap& map) {
        const std::size_t base = static_cast<std::size_t>(map.entries[0] * kPageSize);
        static constexpr std::array<std::size_t, 12> kOffsets{0,   8,   12,  16,  24,  32,
                                                              396, 400, 404, 408, 416, 424};
        const std::size_t width = random_() % 2 == 0 ? 4 : 8;
        word_at(base + kOffsets[random_() % kOffsets.size()], width);
        if (random_() % 2 == 0) {
            // Keeps size in step with pages, or the check of size hides the others.
            store(disk_, base + kInfo64.size,
                  load<std::uint64_t>(disk_, base + kInfo64.pages) * 4096);
        }
    }

    void stream_bytes(const SwapMap& map) {
        const std::uint64_t page = map.entries[random_() % map.entries.size()];
        const std::size_t offset = random_() % 3 == 0 ? 0 : random_() % (kPageSize - 8);
        word_at(static_cast<std::size_t>(page * kPageSize) + offset, 4);
    }

    // Changes a pfn or data word where it stands uncompressed; the patcher's business is to fit it
    // in.
    void unit_content() {
        ParseOptions options;
        options.check_crc = false;
        options.check_reserved = false;
        const auto image = read_image(disk_, options);
        if (!image.ok()) {
            header_field();
            return;
        }
        if (image->stored_pfns().empty() || random_() % 4 == 0) {
            raw_meta(*image);
            return;
        }
        PatchOptions patch;
        patch.parse = options;
        const Pfn pfn = image->stored_pfns()[random_() % image->stored_pfns().size()];
        static_cast<void>(flip_byte(disk_, pfn, random_() % kPageSize,
                                    static_cast<std::uint8_t>(1 + random_() % 255), patch));
    }

    // The pfn list lies in unit 0: recompress that whole unit with one word changed.
    void raw_meta(const HibernationImage& image) {
        const std::size_t width = word_bytes(image.header().info.arch);
        const std::size_t slots =
            static_cast<std::size_t>(image.header().info.meta_pages()) * kPageSize / width;
        const std::size_t at = random_() % std::min<std::size_t>(slots, 4096) * width;
        if (image.units().empty()) {
            word_at(
                static_cast<std::size_t>(image.swap_map().entries[1 + at / kPageSize] * kPageSize) +
                    at % kPageSize,
                width);
            return;
        }
        const Unit& unit = image.units()[0];
        std::vector<std::byte> content(
            image.stream().begin(),
            image.stream().begin() + static_cast<std::ptrdiff_t>(unit.uncompressed));
        if (at + width > content.size()) {
            return;
        }
        const Arch arch = image.header().info.arch;
        store_word(content, at, value(load_word(content, at, arch)), arch);
        const std::vector<std::byte> packed = compress(image.header().compression, content);
        if (packed.size() + width > unit.disk_pages * kPageSize) {
            return;
        }
        std::vector<std::byte> pages(unit.disk_pages * kPageSize);
        store_word(pages, 0, packed.size(), arch);
        std::copy(packed.begin(), packed.end(), pages.begin() + static_cast<std::ptrdiff_t>(width));
        for (std::size_t i = 0; i < unit.disk_pages; ++i) {
            std::memcpy(page_at(disk_, image.swap_map().entries[1 + i]).data(),
                        pages.data() + i * kPageSize, kPageSize);
        }
    }

    void fix_crc() {
        if (random_() % 8 == 0) {
            return;
        }
        // The reader says in its own error what it would have expected; easier: decode as it does.
        const auto swap = read_swap_header(disk_, {});
        if (!swap.ok()) {
            return;
        }
        const auto map = read_swap_map(disk_, 0, swap->image_start);
        if (!map.ok()) {
            return;
        }
        const auto info = read_image_info(page_at(disk_, map->entries[0]), {}, false);
        if (!info.ok()) {
            return;
        }
        const auto stream =
            read_stream(disk_, *map, {info->arch, swap->compression(), info->pages - 1});
        if (stream.ok()) {
            store(disk_, kOffCrc32, stream->crc32);
        }
    }

    ByteSpan disk_;
    std::mt19937_64 random_;
};

}  // namespace

bool mutate_image(ByteSpan disk, std::uint64_t seed) { return Mutator(disk, seed).run(); }

}  // namespace jumpback::swsusp::fuzz
