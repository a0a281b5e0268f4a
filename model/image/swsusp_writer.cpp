// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/swsusp_writer.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "model/image/codec.h"
#include "model/image/crc32.h"

namespace jumpback::swsusp {
namespace {

// union swap_header of include/linux/swap.h: the info part begins behind the boot bits.
constexpr std::size_t kOffSwapVersion = 1024;
constexpr std::size_t kOffSwapLastPage = 1028;

// Hands out disk pages like get_swap_page_of_type: ascending, or shuffled.
class FreePages {
  public:
    FreePages(std::uint64_t disk_pages, const Placement& placement) {
        for (std::uint64_t page = placement.first_page; page < disk_pages; ++page) {
            if (page != placement.header_page) {
                pages_.push_back(page);
            }
        }
        if (placement.scatter_seed) {
            std::mt19937_64 random(*placement.scatter_seed);
            for (std::size_t i = pages_.size(); i > 1; --i) {
                std::swap(pages_[i - 1], pages_[random() % i]);
            }
        }
    }

    // 0 if there is none left.
    std::uint64_t take() { return next_ < pages_.size() ? pages_[next_++] : 0; }

  private:
    std::vector<std::uint64_t> pages_;
    std::size_t next_ = 0;
};

// swap_map_handle of the kernel: entries first, a map page when it is full.
class MapWriter {
  public:
    MapWriter(ByteSpan disk, const Placement& placement)
        : disk_(disk),
          free_(disk.size() / kPageSize, placement),
          late_(placement.late_map_pages),
          map_(kPageSize),
          map_page_(free_.take()),
          first_(map_page_) {}

    [[nodiscard]] std::uint64_t first() const { return first_; }

    // Writes one page's worth (or the rest of it) of the image; false if the disk is full.
    bool write(ByteView bytes) {
        if (late_ && used_ == kMapEntries && !next_map()) {
            return false;
        }
        const std::uint64_t page = free_.take();
        if (page == 0 || map_page_ == 0) {
            return false;
        }
        std::copy(bytes.begin(), bytes.end(), page_at(disk_, page).begin());
        store(ByteSpan(map_), used_++ * 8, page);
        return late_ || used_ < kMapEntries || next_map();
    }

    void finish() {
        if (map_page_ != 0) {
            std::copy(map_.begin(), map_.end(), page_at(disk_, map_page_).begin());
        }
    }

  private:
    bool next_map() {
        const std::uint64_t next = free_.take();
        if (next == 0) {
            return false;
        }
        store(ByteSpan(map_), kMapEntries * 8, next);
        finish();
        std::fill(map_.begin(), map_.end(), std::byte{0});
        map_page_ = next;
        used_ = 0;
        return true;
    }

    ByteSpan disk_;
    FreePages free_;
    bool late_;
    std::vector<std::byte> map_;
    std::size_t used_ = 0;
    std::uint64_t map_page_;
    std::uint64_t first_;
};

bool write_pages(MapWriter& writer, ByteView bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += kPageSize) {
        if (!writer.write(bytes.subspan(at, std::min<std::size_t>(kPageSize, bytes.size() - at)))) {
            return false;
        }
    }
    return true;
}

bool write_stream(MapWriter& writer, const ImageParts& parts, Compression compression,
                  std::uint32_t& crc) {
    if (compression == Compression::none) {
        return write_pages(writer, parts.stream);
    }
    const std::size_t word = word_bytes(parts.arch);
    for (std::size_t at = 0; at < parts.stream.size(); at += kUnitBytes) {
        const ByteView unit =
            ByteView(parts.stream)
                .subspan(at, std::min<std::size_t>(kUnitBytes, parts.stream.size() - at));
        crc = crc32_le(crc, unit);
        std::vector<std::byte> packed = compress(compression, unit);
        packed.insert(packed.begin(), word, std::byte{0});
        store_word(packed, 0, packed.size() - word, parts.arch);
        if (!write_pages(writer, packed)) {
            return false;
        }
    }
    return true;
}

}  // namespace

Result<ImageParts> parts_of(const ImageSpec& spec) {
    const std::size_t zeros = std::accumulate(
        spec.zero.begin(), spec.zero.end(), std::size_t{0},
        [](std::size_t sum, std::uint8_t flag) { return sum + (flag != 0 ? 1 : 0); });
    if (!spec.zero.empty() && spec.zero.size() != spec.pfns.size()) {
        return Error{"image to write", cat(spec.zero.size(), " zero flags, expected none or ",
                                           spec.pfns.size(), " as there are pfns")};
    }
    const std::size_t stored = spec.pfns.size() - zeros;
    if (spec.data.size() != stored * kPageSize) {
        return Error{"image to write", cat(spec.data.size(), " bytes of data, expected ",
                                           stored * kPageSize, " for ", stored, " stored frames")};
    }
    const std::size_t per_page = pfns_per_page(spec.arch);
    const std::size_t meta = (spec.pfns.size() + per_page - 1) / per_page;

    ImageParts parts;
    parts.arch = spec.arch;
    parts.stream.resize(meta * kPageSize);
    const std::size_t word = word_bytes(spec.arch);
    for (std::size_t i = 0; i < spec.pfns.size(); ++i) {
        const bool zero = !spec.zero.empty() && spec.zero[i] != 0;
        store_word(parts.stream, i * word, spec.pfns[i].raw | (zero ? pfn_zero_flag(spec.arch) : 0),
                   spec.arch);
    }
    if (spec.pfns.size() < meta * per_page) {
        store_word(parts.stream, spec.pfns.size() * word, pfn_end_mark(spec.arch), spec.arch);
    }
    parts.stream.insert(parts.stream.end(), spec.data.begin(), spec.data.end());

    parts.info.resize(kPageSize);
    const InfoLayout& at = info_layout(spec.arch);
    const auto put = [&](std::size_t offset, std::uint64_t value) {
        store_word(parts.info, offset, value, spec.arch);
    };
    put(at.jump_address, spec.jump_address);
    put(at.jump_address_phys, spec.jump_address_phys);
    put(at.cr3, spec.cr3);
    const std::uint64_t magic = spec.arch == Arch::x86_64 ? kMagic64 : kMagic32;
    put(at.magic, spec.md5_digest ? magic - 1 : magic);
    if (spec.md5_digest) {
        std::fill_n(parts.info.begin() + static_cast<std::ptrdiff_t>(at.e820), kMd5Bytes,
                    static_cast<std::byte>(spec.e820_checksum));
    } else {
        put(at.e820, spec.e820_checksum);
    }
    put(at.num_physpages, spec.num_physpages);
    put(at.image_pages, stored);
    put(at.pages, 1 + meta + stored);
    put(at.size, (1 + meta + stored) * kPageSize);
    return parts;
}

void write_swap_area(ByteSpan disk, std::uint64_t header_page) {
    const ByteSpan page = page_at(disk, header_page);
    std::fill(page.begin(), page.end(), std::byte{0});
    store(page, kOffSwapVersion, std::uint32_t{1});
    store(page, kOffSwapLastPage,
          static_cast<std::uint32_t>(disk.size() / kPageSize - header_page - 1));
    std::memcpy(page.data() + kOffSig, kSigSwap2.data(), kSigLength);
}

Status lay_out(ByteSpan disk, const ImageParts& parts, const Placement& placement) {
    const Error full{cat("disk of ", disk.size() / kPageSize, " pages"),
                     cat("too small for the image of ", parts.stream.size() / kPageSize + 1,
                         " pages, expected room for header, swap map and data")};
    if (placement.header_page >= disk.size() / kPageSize) {
        return full;
    }
    MapWriter writer(disk, placement);
    std::uint32_t crc = 0;
    if (!write_pages(writer, parts.info) ||
        !write_stream(writer, parts, placement.compression, crc)) {
        return full;
    }
    writer.finish();

    write_swap_area(disk, placement.header_page);
    const ByteSpan header = page_at(disk, placement.header_page);
    std::uint32_t flags = placement.platform_mode ? kFlagPlatform : 0;
    if (placement.compression == Compression::none) {
        flags |= kFlagNoCompress;
    } else {
        flags |= kFlagCrc32;
        store(header, kOffCrc32, crc);
    }
    if (placement.compression == Compression::lz4) {
        flags |= kFlagLz4;
    }
    if (placement.hardware_signature) {
        flags |= kFlagHwSig;
        store(header, kOffHwSig, *placement.hardware_signature);
    }
    store(header, kOffImage, writer.first());
    store(header, kOffFlags, flags);
    std::memcpy(header.data() + kOffOrigSig, kSigSwap2.data(), kSigLength);
    std::memcpy(header.data() + kOffSig, kSigImage.data(), kSigLength);
    return success();
}

Status write_image(ByteSpan disk, const ImageSpec& spec, const Placement& placement) {
    const auto parts = parts_of(spec);
    return parts.ok() ? lay_out(disk, *parts, placement) : Status(parts.error());
}

}  // namespace jumpback::swsusp
