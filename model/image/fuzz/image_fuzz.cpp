// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever the bytes are: no crash, no undefined behaviour, no memory out of proportion, and an
// image that is accepted must be consistent in itself.
#include <cstdlib>
#include <vector>

#include "model/image/diff.h"
#include "model/image/fuzz/mutate.h"
#include "model/image/patcher.h"
#include "model/image/swsusp_image.h"
#include "model/image/verify.h"

using namespace jumpback;
using namespace jumpback::swsusp;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void check_accepted(ByteView disk, const HibernationImage& image) {
    require(image.pfns().size() == image.zero_flags().size());
    require(image.data().size() == image.stored_pfns().size() * kPageSize);
    require(image.stored_pfns().size() + image.zero_pfns().size() == image.pfns().size());
    require(diff_images(image, image).same());
    for (const Pfn pfn : {image.pfns().front(), image.pfns().back()}) {
        require(image.page(pfn).size() == kPageSize);
        const auto at = image.location(pfn);
        require(at.has_value());
        for (const DiskExtent& extent : at->extents) {
            require(extent.offset + extent.length <= disk.size());
        }
    }
    if (!image.stored_pfns().empty()) {
        // What the patcher claims to have done must be there.
        std::vector<std::byte> copy(disk.begin(), disk.end());
        const Pfn pfn = image.stored_pfns()[image.stored_pfns().size() / 2];
        if (flip_byte(copy, pfn, 77).ok()) {
            const auto patched = read_image(copy);
            require(patched.ok());
            const ImageDiff diff = diff_images(image, *patched);
            require(diff.differing.size() == 1 && diff.differing[0].pfn == pfn &&
                    diff.differing[0].first_offset == 77 && diff.differing[0].count == 1);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView disk(reinterpret_cast<const std::byte*>(data), size);
    const auto image = read_image(disk);
    if (image.ok()) {
        check_accepted(disk, *image);
        require(verify_image(disk).empty());
    } else {
        require(!image.error().where.empty() && !image.error().what.empty());
        require(!verify_image(disk).empty());
        ParseOptions lenient;
        lenient.ignore_signature = true;
        lenient.check_crc = false;
        lenient.check_reserved = false;
        static_cast<void>(read_image(disk, lenient));
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
    const ByteSpan disk(reinterpret_cast<std::byte*>(data), size);
    if (seed % 16 != 0 && fuzz::mutate_image(disk, seed)) {
        return size;
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
