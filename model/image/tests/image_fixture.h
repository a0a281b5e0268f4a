// SPDX-License-Identifier: GPL-2.0-or-later
//
// Images made by the writer for tests: realistic content from a printed seed.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "model/image/bytes.h"
#include "model/image/swsusp_image.h"
#include "model/image/swsusp_writer.h"

namespace jumpback::swsusp::testing {

using Octets = std::vector<std::byte>;

// JUMPBACK_TEST_SEED if set, else a fixed one; printed once, so that a failure can be repeated.
std::uint64_t seed();

// A page as kernel memory has them: text, pointers, sparse structures, zeros, now and then noise.
void fill_page(ByteSpan page, std::mt19937_64& random);

struct SpecShape {
    Arch arch = Arch::x86_64;
    std::size_t frames = 700;
    bool zero_pages = false;  // mark frames as zero pages, as kernels since 6.12 do
    bool md5_digest = false;
};
ImageSpec make_spec(const SpecShape& shape, std::mt19937_64& random);

// A disk with the image on it, in `pages` disk pages.
Octets make_disk(const ImageSpec& spec, const Placement& placement, std::size_t pages = 2048);

// What a test does to a good image, and the place and text its error must name.
struct Spoiled {
    std::string name;
    std::function<void(ImageParts&)> parts;  // before it is laid out
    std::function<void(Octets&)> disk;       // after
    std::string where;                       // must occur in Error::where
    std::string what;                        // must occur in Error::what
};
inline void PrintTo(const Spoiled& spoiled, std::ostream* out) { *out << spoiled.name; }

template <typename T>
void poke(Octets& bytes, std::size_t offset, T value) {
    store(ByteSpan(bytes), offset, value);
}

// Fails the test with the error's text if `result` is one.
template <typename T>
T must(Result<T> result) {
    if (!result.ok()) {
        ADD_FAILURE() << result.error().message();
    }
    return std::move(result).value();
}

}  // namespace jumpback::swsusp::testing
