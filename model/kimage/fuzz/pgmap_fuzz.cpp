// SPDX-License-Identifier: GPL-2.0-or-later
//
// libFuzzer target: the input is a text of /proc/kexec_pgmap, or a binary backup pages map. What is
// read must come out again byte for byte, through either form.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "model/kimage/pgmap.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace jumpback::kimage;  // NOLINT: one function
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto map = parse_pgmap(text); map.ok()) {
        const auto again = parse_pgmap_binary(pgmap_binary(*map));
        if (pgmap_text(*map) != text || !again.ok() || again->runs != map->runs) {
            std::abort();
        }
    }
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    if (const auto map = parse_pgmap_binary(bytes); map.ok()) {
        const auto out = pgmap_binary(*map);
        const auto again = parse_pgmap(pgmap_text(*map));
        if (out.size() > size || !std::equal(out.begin(), out.end(), bytes.begin()) ||
            !again.ok() || *again != *map) {
            std::abort();
        }
    }
    return 0;
}
