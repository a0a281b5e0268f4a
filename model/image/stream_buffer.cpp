// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/stream_buffer.h"

#include <sys/mman.h>

namespace jumpback::swsusp {
namespace {
constexpr std::size_t kLargePage = std::size_t{2} << 20;
}

StreamBuffer::StreamBuffer(std::size_t size)
    : data_(static_cast<std::byte*>(::operator new (size, std::align_val_t{kLargePage}))),
      size_(size) {
    // A hint only: nothing depends on its success.
    static_cast<void>(madvise(data_.get(), size / kLargePage * kLargePage, MADV_HUGEPAGE));
}

void StreamBuffer::Free::operator()(std::byte* data) const {
    ::operator delete (data, std::align_val_t{kLargePage});
}

}  // namespace jumpback::swsusp
