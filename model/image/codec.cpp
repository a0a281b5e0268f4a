// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/codec.h"

#include <lz4.h>
#include <lzo/lzo1x.h>

#include <array>
#include <string_view>

namespace jumpback::swsusp {
namespace {

// LZO's own names for what went wrong, in words.
std::string_view lzo_complaint(int code) {
    switch (code) {
        case LZO_E_INPUT_OVERRUN:
            return "the compressed data ends too early";
        case LZO_E_OUTPUT_OVERRUN:
            return "it holds more than the unit's uncompressed size";
        case LZO_E_LOOKBEHIND_OVERRUN:
            return "a match refers to before the unit's start";
        case LZO_E_EOF_NOT_FOUND:
            return "the end-of-stream mark is missing";
        case LZO_E_INPUT_NOT_CONSUMED:
            return "bytes are left after the end-of-stream mark";
        default:
            return "the decoder refuses it";
    }
}

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
    return reinterpret_cast<const unsigned char*>(bytes);
}

}  // namespace

Result<std::size_t> decompress(Compression compression, ByteView input, ByteSpan output) {
    if (compression == Compression::lzo) {
        lzo_uint written = output.size();
        const int code = lzo1x_decompress_safe(raw(input.data()), input.size(), raw(output.data()),
                                               &written, nullptr);
        if (code != LZO_E_OK) {
            return Error{
                {},
                cat("LZO data does not decompress: ", lzo_complaint(code), " (code ", code, ")")};
        }
        return std::size_t{written};
    }
    if (compression == Compression::lz4) {
        const int written = LZ4_decompress_safe(
            reinterpret_cast<const char*>(input.data()), reinterpret_cast<char*>(output.data()),
            static_cast<int>(input.size()), static_cast<int>(output.size()));
        if (written < 0) {
            return Error{{},
                         cat("LZ4 data does not decompress: malformed, cut short or larger than "
                             "the unit's uncompressed size (stopped at input byte ",
                             -written - 1, ")")};
        }
        return static_cast<std::size_t>(written);
    }
    return Error{{}, "no compression to undo"};
}

std::vector<std::byte> compress(Compression compression, ByteView input) {
    std::vector<std::byte> output(input.size() + input.size() / 16 + 64 + 3 + 2);
    if (compression == Compression::lzo) {
        // Zeroed so that equal input gives equal output: the encoder may look at stale slots.
        std::vector<unsigned char> work(LZO1X_1_MEM_COMPRESS);
        lzo_uint size = output.size();
        lzo1x_1_compress(raw(input.data()), input.size(), raw(output.data()), &size, work.data());
        output.resize(size);
    } else {
        const int size = LZ4_compress_default(
            reinterpret_cast<const char*>(input.data()), reinterpret_cast<char*>(output.data()),
            static_cast<int>(input.size()), static_cast<int>(output.size()));
        output.resize(static_cast<std::size_t>(size));
    }
    return output;
}

}  // namespace jumpback::swsusp
