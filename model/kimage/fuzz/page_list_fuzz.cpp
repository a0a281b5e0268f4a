// SPDX-License-Identifier: GPL-2.0-or-later
//
// libFuzzer target: the input makes a page list in a little RAM. Reading it must end without a
// sanitizer's report, and say exactly what a reader without shortcuts says.
#include <cstdio>
#include <cstdlib>

#include "model/kimage/tests/random_list.h"
#include "model/kimage/tests/slow_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace jumpback::kimage;  // NOLINT: one function
    static test::RandomList list;
    list.make({data, size});
    const Decoding decoding = decode_or_explain(list.ram(), list.head, list.word, list.rules);
    const auto slow = test::read_slowly(list.ram(), list.head, list.word, list.rules);
    const std::string differs = test::difference(decoding, slow, list.rules);
    if (!differs.empty()) {
        std::fprintf(stderr, "%s\n", differs.c_str());
        std::abort();
    }
    return 0;
}
