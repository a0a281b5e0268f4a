// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/patcher.h"

#include <algorithm>
#include <map>

#include "model/image/codec.h"
#include "model/image/crc32.h"

namespace jumpback::swsusp {
namespace {

using Octets = std::vector<std::byte>;

std::string frame(Pfn pfn) { return "pfn " + hex(pfn.raw); }

// What is to be written, worked out in full before the disk is touched.
class Patch {
  public:
    Patch(ByteSpan disk, const HibernationImage& image) : disk_(disk), image_(image) {}

    Status add(const PageEdit& edit) {
        if (edit.bytes.size() != kPageSize) {
            return Error{frame(edit.pfn),
                         cat("new content of ", edit.bytes.size(), " bytes, expected 4096")};
        }
        const auto location = image_.location(edit.pfn);
        if (!location) {
            return Error{frame(edit.pfn), "not in the image, expected one of its frames"};
        }
        if (location->zero) {
            return Error{frame(edit.pfn),
                         "was all zero when saved and has no bytes in the image, expected a stored "
                         "frame (stored_pfns)"};
        }
        report_.pages.push_back(*location);
        if (location->compressed) {
            Octets& unit = units_[static_cast<std::size_t>(location->unit)];
            if (unit.empty()) {
                const ByteView old = unit_view(static_cast<std::size_t>(location->unit));
                unit.assign(old.begin(), old.end());
            }
            std::copy(edit.bytes.begin(), edit.bytes.end(),
                      unit.begin() + static_cast<std::ptrdiff_t>(location->unit_page * kPageSize));
        } else {
            raw_.emplace_back(location->extents.front().offset, edit.bytes);
        }
        return success();
    }

    // Compresses the changed units into the room they have.
    Status fit() {
        for (const auto& [index, content] : units_) {
            const Unit& unit = image_.units()[index];
            const std::size_t word = word_bytes(image_.header().info.arch);
            const std::size_t most = std::min(unit.disk_pages * kPageSize - word, kMaxCompressed);
            const std::size_t least = (unit.disk_pages - 1) * kPageSize + 1;
            auto packed = compress_to_fit(image_.header().compression, content,
                                          least > word ? least - word : 1, most);
            const std::string where =
                unit_place(image_.swap_map(), index, unit.first_entry) + " with the changed page";
            if (!packed.ok()) {
                return Error{where, cat(packed.error().what, " to take ", unit.disk_pages,
                                        " disk pages as before; choose another page")};
            }
            Octets check(content.size());
            const auto written = decompress(image_.header().compression, *packed, check);
            if (!written.ok() || *written != content.size() || check != content) {
                return Error{where,
                             "does not decompress to what was compressed, expected equality"};
            }
            report_.units.push_back({index, unit.compressed, packed->size()});
            packed_[index] = std::move(packed).value();
        }
        return success();
    }

    PatchReport write(bool fix_crc) {
        for (const auto& [offset, bytes] : raw_) {
            std::copy(bytes.begin(), bytes.end(),
                      disk_.begin() + static_cast<std::ptrdiff_t>(offset));
        }
        for (const auto& [index, packed] : packed_) {
            write_unit(image_.units()[index], packed);
        }
        const SwapHeader& header = image_.header().swap;
        report_.crc32_before = header.crc32;
        report_.crc32_after = header.crc32;
        if (fix_crc && header.has(kFlagCrc32)) {
            report_.crc32_after = crc_of_changed();
            store(page_at(disk_, header.page), kOffCrc32, report_.crc32_after);
        }
        return std::move(report_);
    }

  private:
    [[nodiscard]] ByteView unit_view(std::size_t index) const {
        return image_.stream().subspan(index * kUnitBytes, image_.units()[index].uncompressed);
    }

    [[nodiscard]] std::uint32_t crc_of_changed() const {
        std::uint32_t crc = 0;
        for (std::size_t index = 0; index < image_.units().size(); ++index) {
            const auto changed = units_.find(index);
            crc = crc32_le(crc,
                           changed == units_.end() ? unit_view(index) : ByteView(changed->second));
        }
        return crc;
    }

    void write_unit(const Unit& unit, const Octets& packed) {
        const Arch arch = image_.header().info.arch;
        Octets pages(unit.disk_pages * kPageSize);
        store_word(pages, 0, packed.size(), arch);
        std::copy(packed.begin(), packed.end(),
                  pages.begin() + static_cast<std::ptrdiff_t>(word_bytes(arch)));
        for (std::size_t i = 0; i < unit.disk_pages; ++i) {
            const ByteSpan out = page_at(disk_, image_.swap_map().entries[unit.first_entry + i]);
            std::copy_n(pages.begin() + static_cast<std::ptrdiff_t>(i * kPageSize), kPageSize,
                        out.begin());
        }
    }

    ByteSpan disk_;
    const HibernationImage& image_;
    PatchReport report_;
    std::map<std::size_t, Octets> units_;                // changed units, uncompressed
    std::map<std::size_t, Octets> packed_;               // the same, compressed
    std::vector<std::pair<std::uint64_t, Octets>> raw_;  // disk offset, page
};

Result<PatchReport> apply(ByteSpan disk, const HibernationImage& image,
                          const std::vector<PageEdit>& edits, bool fix_crc) {
    Patch patch(disk, image);
    for (const PageEdit& edit : edits) {
        if (auto added = patch.add(edit); !added.ok()) {
            return added.error();
        }
    }
    if (auto fitted = patch.fit(); !fitted.ok()) {
        return fitted.error();
    }
    return patch.write(fix_crc);
}

PageEdit edit_of(Pfn pfn, ByteView bytes) { return {pfn, {bytes.begin(), bytes.end()}}; }

}  // namespace

Result<PatchReport> replace_pages(ByteSpan disk, const std::vector<PageEdit>& edits,
                                  const PatchOptions& options) {
    const auto image = read_image(disk, options.parse);
    return image.ok() ? apply(disk, *image, edits, options.fix_crc)
                      : Result<PatchReport>(image.error());
}

Result<PatchReport> replace_page(ByteSpan disk, Pfn pfn, ByteView bytes,
                                 const PatchOptions& options) {
    return replace_pages(disk, {edit_of(pfn, bytes)}, options);
}

Result<PatchReport> flip_byte(ByteSpan disk, Pfn pfn, std::size_t offset, std::uint8_t mask,
                              const PatchOptions& options) {
    if (offset >= kPageSize || mask == 0) {
        return Error{frame(pfn), cat("offset ", offset, " and mask ", hex(mask),
                                     ", expected an offset below 4096 and a mask other than 0")};
    }
    const auto image = read_image(disk, options.parse);
    if (!image.ok()) {
        return image.error();
    }
    PageEdit edit = edit_of(pfn, image->page(pfn));
    if (edit.bytes.empty()) {
        return Error{frame(pfn), "not in the image, expected one of its frames"};
    }
    edit.bytes[offset] ^= static_cast<std::byte>(mask);
    return apply(disk, *image, {edit}, options.fix_crc);
}

Result<PatchReport> swap_pages(ByteSpan disk, Pfn a, Pfn b, const PatchOptions& options) {
    const auto image = read_image(disk, options.parse);
    if (!image.ok()) {
        return image.error();
    }
    for (const Pfn pfn : {a, b}) {
        if (!image->contains(pfn)) {
            return Error{frame(pfn), "not in the image, expected one of its frames"};
        }
    }
    if (std::ranges::equal(image->page(a), image->page(b))) {
        return Error{frame(a) + " and " + frame(b),
                     "hold the same bytes, expected pages that differ"};
    }
    return apply(disk, *image, {edit_of(a, image->page(b)), edit_of(b, image->page(a))},
                 options.fix_crc);
}

}  // namespace jumpback::swsusp
