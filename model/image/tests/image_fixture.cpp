// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/tests/image_fixture.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

namespace jumpback::swsusp::testing {

std::uint64_t seed() {
    static const std::uint64_t value = [] {
        const char* text = std::getenv("JUMPBACK_TEST_SEED");
        const std::uint64_t chosen = text != nullptr ? std::strtoull(text, nullptr, 0) : 20260;
        std::cout << "seed " << chosen << " (JUMPBACK_TEST_SEED sets it)\n";
        return chosen;
    }();
    return value;
}

void fill_page(ByteSpan page, std::mt19937_64& random) {
    static constexpr std::string_view kWords[] = {"kernel ", "suspend ", "return 0;\n", "static ",
                                                  "page ",   "0x%lx ",   "struct ",     "if ("};
    std::fill(page.begin(), page.end(), std::byte{0});
    const std::uint64_t kind = random() % 8;
    if (kind < 3) {
        for (std::size_t at = 0; at < page.size();) {
            const std::string_view word = kWords[random() % std::size(kWords)];
            const std::size_t length = std::min(word.size(), page.size() - at);
            std::memcpy(page.data() + at, word.data(), length);
            at += length;
        }
    } else if (kind < 7) {
        // Structures: pointers into one region and small counts, with holes.
        for (std::size_t at = 0; at < page.size(); at += 8 * (1 + random() % 6)) {
            store(
                page, at,
                random() % 3 == 0 ? random() % 512 : 0xffff888000000000 + random() % 0x100000 * 64);
        }
    } else {
        for (std::size_t at = 0; at < page.size(); at += 8) {
            store(page, at, random());
        }
    }
}

ImageSpec make_spec(const SpecShape& shape, std::mt19937_64& random) {
    ImageSpec spec;
    spec.arch = shape.arch;
    spec.md5_digest = shape.md5_digest;
    if (shape.arch == Arch::i386) {
        spec.jump_address = 0xc1001000;
    }
    std::uint64_t pfn = random() % 16;
    for (std::size_t i = 0; i < shape.frames; ++i) {
        spec.pfns.emplace_back(pfn);
        pfn += 1 + (random() % 4 == 0 ? random() % 64 : 0);
        const bool zero = shape.zero_pages && random() % 3 == 0;
        spec.zero.push_back(zero ? 1 : 0);
        if (!zero) {
            spec.data.resize(spec.data.size() + kPageSize);
            fill_page(ByteSpan(spec.data).last(kPageSize), random);
        }
    }
    spec.num_physpages = pfn + 1;
    return spec;
}

Octets make_disk(const ImageSpec& spec, const Placement& placement, std::size_t pages) {
    Octets disk(pages * kPageSize);
    const Status written = write_image(disk, spec, placement);
    EXPECT_TRUE(written.ok()) << (written.ok() ? "" : written.error().message());
    return disk;
}

}  // namespace jumpback::swsusp::testing
