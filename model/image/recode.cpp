// SPDX-License-Identifier: GPL-2.0-or-later
//
// Compressing to a wanted length. A changed unit must take exactly the disk pages it had: the
// kernel finds the next unit behind ceil((word + length) / 4096) pages, and the decoders do not
// allow padding inside the stated length. Too long is helped by a better compressor, too short by
// leaving the first bytes of the unit uncompressed: both formats begin with a run of literals,
// which can be made as long as one likes.
#include <lz4hc.h>
#include <lzo/lzo1x.h>

#include <algorithm>

#include "model/image/codec.h"

namespace jumpback::swsusp {
namespace {

using Octets = std::vector<std::byte>;

Octets compress_hard(Compression compression, ByteView input) {
    Octets output(input.size() + input.size() / 16 + 64 + 3 + 2);
    if (compression == Compression::lzo) {
        std::vector<unsigned char> work(LZO1X_999_MEM_COMPRESS);
        lzo_uint size = output.size();
        lzo1x_999_compress(reinterpret_cast<const unsigned char*>(input.data()), input.size(),
                           reinterpret_cast<unsigned char*>(output.data()), &size, work.data());
        output.resize(size);
    } else {
        const int size = LZ4_compress_HC(
            reinterpret_cast<const char*>(input.data()), reinterpret_cast<char*>(output.data()),
            static_cast<int>(input.size()), static_cast<int>(output.size()), LZ4HC_CLEVEL_MAX);
        output.resize(static_cast<std::size_t>(size));
    }
    return output;
}

// The run of literals at a stream's start.
struct FirstRun {
    std::size_t literals = 0;
    std::size_t data = 0;  // offset of the first literal
    bool usable = false;
};

// Adds the 255-steps of a length that did not fit its nibble; `at` is the first extension byte.
std::size_t extended(ByteView stream, std::size_t& at, std::byte step) {
    std::size_t length = 0;
    while (at < stream.size() && stream[at] == step) {
        length += 255;
        ++at;
    }
    return at < stream.size() ? length + std::to_integer<std::size_t>(stream[at++]) : length;
}

FirstRun first_lzo_run(ByteView stream) {
    const auto opcode = std::to_integer<std::size_t>(stream[0]);
    FirstRun run{0, 1, true};
    if (opcode > 17) {
        run.literals = opcode - 17;
        // After 1 to 3 literals an opcode below 16 means something else than after a longer run.
        const std::size_t next = run.data + run.literals;
        run.usable = run.literals >= 4 || (next < stream.size() && stream[next] >= std::byte{16});
    } else if (opcode == 0) {
        run.literals = 18 + extended(stream, run.data, std::byte{0});
    } else {
        run.literals = 3 + opcode;
        run.usable = opcode < 16;
    }
    return run;
}

FirstRun first_lz4_run(ByteView stream) {
    FirstRun run{std::to_integer<std::size_t>(stream[0]) >> 4, 1, true};
    if (run.literals == 15) {
        run.literals += extended(stream, run.data, std::byte{255});
    }
    return run;
}

void put_steps(Octets& out, std::size_t rest, std::byte step) {
    for (; rest >= (step == std::byte{0} ? 256U : 255U); rest -= 255) {
        out.push_back(step);
    }
    out.push_back(static_cast<std::byte>(rest));
}

void put_run_length(Octets& out, Compression compression, std::size_t length, std::byte token) {
    if (compression == Compression::lzo) {
        if (length <= 238) {
            out.push_back(static_cast<std::byte>(17 + length));
        } else {
            out.push_back(std::byte{0});
            put_steps(out, length - 18, std::byte{0});
        }
        return;
    }
    out.push_back(static_cast<std::byte>(std::min<std::size_t>(length, 15) << 4) |
                  (token & std::byte{15}));
    if (length >= 15) {
        put_steps(out, length - 15, std::byte{255});
    }
}

// `input` compressed with its first `prefix` bytes as literals; empty if that does not work out
// here.
Octets compress_behind(Compression compression, ByteView input, std::size_t prefix, bool hard) {
    const bool lzo = compression == Compression::lzo;
    const ByteView rest = input.subspan(prefix);
    Octets tail;
    FirstRun run;
    if (rest.empty()) {
        // No match at all: LZO wants its end-of-stream mark, LZ4 ends with the literals.
        tail = lzo ? Octets{std::byte{0x11}, std::byte{0}, std::byte{0}} : Octets{std::byte{0}};
        run = {0, lzo ? std::size_t{0} : std::size_t{1}, true};
    } else {
        tail = hard ? compress_hard(compression, rest) : compress(compression, rest);
        run = lzo ? first_lzo_run(tail) : first_lz4_run(tail);
    }
    Octets out;
    if (!run.usable || run.data + run.literals > tail.size()) {
        return out;
    }
    out.reserve(tail.size() + prefix + prefix / 255 + 16);
    put_run_length(out, compression, prefix + run.literals, tail[0]);
    out.insert(out.end(), input.begin(),
               input.begin() + static_cast<std::ptrdiff_t>(prefix + run.literals));
    out.insert(out.end(), tail.begin() + static_cast<std::ptrdiff_t>(run.data + run.literals),
               tail.end());
    return out;
}

// Looks for a prefix length whose result has a size in [least, most]. The size grows with the
// prefix but for noise of some bytes, so halving finds the neighbourhood; small steps around it do
// the rest.
Octets stretch(Compression compression, ByteView input, bool hard, std::size_t least,
               std::size_t most) {
    const auto fits = [&](const Octets& out) { return out.size() >= least && out.size() <= most; };
    std::size_t low = 0;
    std::size_t high = input.size();
    while (low < high) {
        const std::size_t middle = low + (high - low) / 2;
        Octets out;
        for (std::size_t at = middle; out.empty() && at < high; ++at) {
            out = compress_behind(compression, input, at, hard);
        }
        if (fits(out)) {
            return out;
        }
        if (out.size() < least) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const std::size_t start = low > 512 ? low - 512 : 0;
    for (std::size_t prefix = start; prefix <= std::min(low + 512, input.size()); prefix += 16) {
        if (Octets out = compress_behind(compression, input, prefix, hard); fits(out)) {
            return out;
        }
    }
    return {};
}

}  // namespace

Result<Octets> compress_to_fit(Compression compression, ByteView input, std::size_t min_bytes,
                               std::size_t max_bytes) {
    Octets plain = compress(compression, input);
    if (plain.size() >= min_bytes && plain.size() <= max_bytes) {
        return plain;
    }
    const bool hard = plain.size() > max_bytes;
    const Octets base = hard ? compress_hard(compression, input) : plain;
    if (base.size() >= min_bytes && base.size() <= max_bytes) {
        return base;
    }
    if (base.size() > max_bytes) {
        return Error{
            {}, cat("compresses to ", base.size(), " bytes at best, expected at most ", max_bytes)};
    }
    Octets fitted = stretch(compression, input, hard, min_bytes, max_bytes);
    if (fitted.empty()) {
        return Error{{},
                     cat("compresses to ", base.size(), " bytes and found no stream of ", min_bytes,
                         " to ", max_bytes, " bytes")};
    }
    return fitted;
}

}  // namespace jumpback::swsusp
