// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/stream_buffer.h"

#include <sys/mman.h>

namespace jumpback::swsusp {
namespace {

constexpr std::size_t kLargePage = std::size_t{2} << 20;
// Below, clearing up to one large page too many costs more than it saves.
constexpr std::size_t kWorthwhile = 4 * kLargePage;

std::align_val_t alignment_of(std::size_t size) {
    return std::align_val_t{size < kWorthwhile ? std::size_t{kPageSize} : kLargePage};
}

}  // namespace

StreamBuffer::StreamBuffer(std::size_t size)
    : data_(static_cast<std::byte*>(::operator new(size, alignment_of(size))),
            StreamBufferFree{size}),
      size_(size) {
    if (size >= kWorthwhile) {
        // A hint only: nothing depends on its success.
        static_cast<void>(madvise(data_.get(), size / kLargePage * kLargePage, MADV_HUGEPAGE));
    }
}

void StreamBufferFree::operator()(std::byte* data) const {
    ::operator delete(data, alignment_of(size));
}

}  // namespace jumpback::swsusp
