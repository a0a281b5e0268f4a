// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/copy_extents.h"

#include <emmintrin.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

namespace jumpback {
namespace {

constexpr std::uint64_t kPiece = std::uint64_t{4} * 1024 * 1024;  // bytes a worker takes at a time
constexpr std::uint64_t kWorthAThread =
    std::uint64_t{8} * 1024 * 1024;   // bytes: about 0.7 ms, ten thread starts
constexpr unsigned kMostWorkers = 4;  // beyond that memory bandwidth, not cores, is the limit

constexpr std::size_t kLine = 64;  // bytes of a cache line

void stream_line(std::byte* to, const std::byte* from) {
    const auto* source = reinterpret_cast<const __m128i*>(from);
    auto* target = reinterpret_cast<__m128i*>(to);
    const __m128i a = _mm_loadu_si128(source);
    const __m128i b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2);
    const __m128i d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
}

// Copies past the cache. An ordinary store first reads the line it overwrites, half as much traffic
// again; memcpy avoids that only for single copies larger than the cache, which pieces are not.
// Four pages are read side by side: the prefetchers stop at page ends, so one page at a time would
// wait for memory at each (measured: a sixth slower).
void stream(std::byte* to, const std::byte* from, std::size_t length) {
    constexpr std::size_t kPage = 4096;
    constexpr std::size_t kPages = 4;
    const std::size_t head =
        std::min(length, (kLine - reinterpret_cast<std::uintptr_t>(to) % kLine) % kLine);
    std::memcpy(to, from, head);
    std::size_t at = head;
    for (; length - at >= kPages * kPage; at += kPages * kPage) {
        for (std::size_t line = at; line < at + kPage; line += kLine) {
            for (std::size_t page = 0; page < kPages; ++page) {
                stream_line(to + line + page * kPage, from + line + page * kPage);
            }
        }
    }
    for (; length - at >= kLine; at += kLine) {
        stream_line(to + at, from + at);
    }
    std::memcpy(to + at, from + at, length - at);
}

unsigned choose_workers(std::uint64_t bytes) {
    const auto by_size =
        static_cast<unsigned>(std::min<std::uint64_t>(1 + bytes / kWorthAThread, kMostWorkers));
    return std::max(1U, std::min(by_size, std::thread::hardware_concurrency()));
}

}  // namespace

void copy_extents(std::byte* to, std::span<const std::byte> from,
                  const std::vector<Extent>& extents, unsigned workers) {
    // Extents are cut at kPiece and dealt out in batches of about that size: scattered pages must
    // not cost one handshake each.
    std::vector<Extent> pieces;
    std::vector<std::size_t> batches{0};  // first piece of each batch
    std::uint64_t in_batch = 0;
    for (const Extent& extent : extents) {
        for (std::uint64_t at = extent.offset; at < extent.end(); at += kPiece) {
            if (in_batch >= kPiece) {
                batches.push_back(pieces.size());
                in_batch = 0;
            }
            pieces.push_back({at, std::min(kPiece, extent.end() - at)});
            in_batch += pieces.back().length;
        }
    }
    batches.push_back(pieces.size());
    if (workers == 0) {
        workers = choose_workers(total_length(extents));
    }
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t batch = next++; batch + 1 < batches.size(); batch = next++) {
            for (std::size_t i = batches[batch]; i < batches[batch + 1]; ++i) {
                stream(to + pieces[i].offset, from.data() + pieces[i].offset,
                       static_cast<std::size_t>(pieces[i].length));
            }
        }
        _mm_sfence();  // streamed stores are seen by others only in order from here on
    };
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < workers; ++i) {
        helpers.emplace_back(work);
    }
    work();
}

}  // namespace jumpback
