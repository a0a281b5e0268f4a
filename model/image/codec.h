// SPDX-License-Identifier: GPL-2.0-or-later
//
// One unit's bytes through LZO1X or LZ4, as the kernel's lib/lzo and lib/lz4 do it.
#pragma once

#include <cstddef>
#include <vector>

#include "model/image/bytes.h"
#include "model/image/format.h"
#include "model/result.h"

namespace jumpback::swsusp {

// Decompresses all of `input` into `output`; returns the number of bytes written. Never reads or
// writes outside the spans. Error: what the decoder objected to; `where` is left to the caller.
[[nodiscard]] Result<std::size_t> decompress(Compression compression, ByteView input,
                                             ByteSpan output);

// Compresses as the kernel does by default (lzo1x_1, LZ4 fast). `compression` is not none.
[[nodiscard]] std::vector<std::byte> compress(Compression compression, ByteView input);

// Compresses `input` so that the result has between `min_bytes` and `max_bytes` bytes, both
// included: first as the kernel would, then harder, then with a growing part left uncompressed (a
// valid stream of any length up to incompressible). Used to put a changed unit back into the disk
// pages it has. Error: the smallest and largest size that could be had.
[[nodiscard]] Result<std::vector<std::byte>> compress_to_fit(Compression compression,
                                                             ByteView input, std::size_t min_bytes,
                                                             std::size_t max_bytes);

}  // namespace jumpback::swsusp
