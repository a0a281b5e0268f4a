// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/tests/random_list.h"

#include <cstring>

namespace jumpback::kimage::test {
namespace {

constexpr std::uint64_t kLow = 64;
constexpr std::uint64_t kHighPfn = 256;

// Of the byte values 0 to 95 each names a frame, some of the others what is not RAM.
std::uint64_t address_of(std::uint8_t byte) {
    const std::uint64_t pfn = byte < kLow ? byte : kHighPfn + (byte - kLow);
    return pfn << kPageShift;
}

}  // namespace

RandomList::RandomList()
    : buffer_(kFrames * kPageSize),
      ram_(memory::GuestRam::create(buffer_, {{Gpa{0}, Bytes{0}, Bytes{kLow * kPageSize}},
                                              {gpa_of(Pfn{kHighPfn}), Bytes{kLow * kPageSize},
                                               Bytes{(kFrames - kLow) * kPageSize}}})
               .value()) {}

void RandomList::put(std::uint64_t frame, std::uint64_t index, std::uint64_t raw) {
    frame %= kFrames;
    std::memcpy(buffer_.data() + frame * kPageSize + index * bytes_of(word), &raw, bytes_of(word));
    written_.push_back(frame);
}

// Two bytes of options, then records of three: what to write, and where it leads. Words follow one
// another in list pages 0, 1, 2 ... of a random first frame.
void RandomList::make(std::span<const std::uint8_t> data) {
    for (const std::uint64_t frame : written_) {
        std::memset(buffer_.data() + frame * kPageSize, 0, kPageSize);
    }
    written_.clear();
    const auto byte = [&](std::size_t at) { return at < data.size() ? data[at] : std::uint8_t{0}; };
    const std::uint8_t options = byte(0);
    word = (options & 1) != 0 ? Word::k32 : Word::k64;
    rules = {};
    rules.source_in_destinations = (options & 2) != 0;
    rules.list_pages_apart = (options & 4) != 0;
    rules.strict_words = (options & 8) != 0;
    rules.kernel_layout = (options & 16) != 0;
    rules.keep_moves = (options & 32) == 0;
    if ((options & 64) != 0) {
        rules.source_limit = address_of(byte(1)) + 0x123;
    }
    if ((options & 128) != 0) {
        rules.kept = {{Gpa{address_of(byte(1))}, "kept"}};
    }
    std::uint64_t page = byte(2) % kFrames;
    head = address_of(static_cast<std::uint8_t>(page)) | kIndIndirection;
    if (byte(3) >= 0xf0) {
        std::uint64_t raw = 0;
        std::memcpy(&raw, data.data() + 3, std::min<std::size_t>(data.size() - 3, 8));
        head = raw;
    }
    const std::uint64_t last = words_per_page(word) - 1;
    std::uint64_t index = 0;
    for (std::size_t at = 4; at + 3 <= data.size(); at += 3) {
        const std::uint8_t kind = data[at];
        const std::uint64_t address = address_of(data[at + 1]);
        const std::uint8_t extra = data[at + 2];
        if (kind < 0x40) {
            put(page, index++, address | kIndDestination);
        } else if (kind < 0xc0) {  // a run of sources
            const std::uint64_t step = (extra & 0x80) != 0 ? 2 * kPageSize : kPageSize;
            for (std::uint64_t run = 0; run <= extra % 8 && index < last; ++run) {
                put(page, index++, (address + run * step) | kIndSource);
            }
        } else if (kind < 0xd0) {  // on to a list page
            const bool at_end = (extra & 1) != 0;
            put(page, at_end ? last : index, address | kIndIndirection);
            page = data[at + 1] % kFrames;
            index = 0;
        } else if (kind < 0xd8) {
            put(page, index++, kIndDone);
        } else if (kind < 0xe0) {
            index += extra;  // leaves zeros, or what was there
        } else {
            put(page, index++, address | extra | (std::uint64_t{kind} << 60));
        }
        if (index >= last) {
            index = last;
        }
    }
    put(page, index, kIndDone);
}

}  // namespace jumpback::kimage::test
