// SPDX-License-Identifier: GPL-2.0-or-later
//
// Room for the decoded stream: large, page aligned and *not* cleared. A vector would write every
// byte once before the decompressor writes it again, and first touch of fresh memory 4 KiB at a
// time costs about as much as LZ4 itself; large pages are asked for where there is enough to gain.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "model/image/bytes.h"

namespace jumpback::swsusp {

// Alignment depends on the size, and must be told again when freeing.
struct StreamBufferFree {
    std::size_t size = 0;
    void operator()(std::byte* data) const;
};

class StreamBuffer {
  public:
    StreamBuffer() = default;
    // Throws std::bad_alloc; callers check the size against the disk first.
    explicit StreamBuffer(std::size_t size);

    [[nodiscard]] ByteSpan bytes() { return {data_.get(), size_}; }
    [[nodiscard]] ByteView bytes() const { return {data_.get(), size_}; }

  private:
    std::unique_ptr<std::byte[], StreamBufferFree> data_;
    std::size_t size_ = 0;
};

}  // namespace jumpback::swsusp
