// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/copy_extents.h"

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
                std::memcpy(to + pieces[i].offset, from.data() + pieces[i].offset,
                            static_cast<std::size_t>(pieces[i].length));
            }
        }
    };
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < workers; ++i) {
        helpers.emplace_back(work);
    }
    work();
}

}  // namespace jumpback
