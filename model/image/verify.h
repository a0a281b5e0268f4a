// SPDX-License-Identifier: GPL-2.0-or-later
//
// All that is wrong with an image, where read_image() stops at the first thing.
#pragma once

#include <cstddef>
#include <vector>

#include "model/image/bytes.h"
#include "model/image/options.h"
#include "model/result.h"

namespace jumpback::swsusp {

// Empty: the image is sound. Otherwise the first problem that read_image() reports and, if that
// lies in the stream, each further unit that does not decompress (at most `most` problems in all).
// Unit lengths form a chain: behind a unit whose length is wrong nothing can be found, and the list
// ends there.
[[nodiscard]] std::vector<Error> verify_image(ByteView disk, const ParseOptions& options = {},
                                              std::size_t most = 64);

}  // namespace jumpback::swsusp
