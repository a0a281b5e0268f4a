// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <string>

namespace jumpback {
namespace {

constexpr int kGzipOnly = 16 + MAX_WBITS;  // zlib.h: 16 selects the gzip header
constexpr std::size_t kFirstGuess = std::size_t{64} * 1024;

struct Inflater {
    z_stream stream{};
    bool ready = false;
    Inflater() { ready = inflateInit2(&stream, kGzipOnly) == Z_OK; }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    Inflater(Inflater&&) = delete;
    Inflater& operator=(Inflater&&) = delete;
    ~Inflater() {
        if (ready) {
            inflateEnd(&stream);
        }
    }
};

}  // namespace

Result<std::vector<std::byte>> inflate_gzip(std::span<const std::byte> packed, Bytes limit) {
    if (packed.size() > std::numeric_limits<uInt>::max()) {
        return Error{"gzip", "stream of " + std::to_string(packed.size()) + " bytes is too large"};
    }
    Inflater inflater;
    if (!inflater.ready) {
        return Error{"zlib", "cannot be set up: out of memory or another zlib version"};
    }
    z_stream& stream = inflater.stream;
    // zlib's interface lacks const here; it does not write to its input.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    std::vector<std::byte> out;
    int state = Z_OK;
    while (state == Z_OK) {
        const std::size_t have = out.size();
        const std::size_t want = std::min<std::size_t>(static_cast<std::size_t>(limit.raw) + 1,
                                                       std::max(kFirstGuess, have * 2));
        if (want <= have) {
            return Error{"gzip", "unpacks to more than " + std::to_string(limit.raw) + " bytes"};
        }
        out.resize(want);
        stream.next_out = reinterpret_cast<Bytef*>(out.data() + have);
        stream.avail_out = static_cast<uInt>(want - have);
        state = inflate(&stream, Z_NO_FLUSH);
        out.resize(want - stream.avail_out);
        if (state == Z_OK && stream.avail_out != 0 && stream.avail_in == 0) {
            break;  // wants more input than there is
        }
    }
    if (state != Z_STREAM_END) {
        return Error{"gzip", std::string("stream is damaged or cut short") +
                                 (stream.msg != nullptr ? std::string(": ") + stream.msg : "")};
    }
    if (out.size() > limit.raw) {
        return Error{"gzip", "unpacks to more than " + std::to_string(limit.raw) + " bytes"};
    }
    return out;
}

}  // namespace jumpback
