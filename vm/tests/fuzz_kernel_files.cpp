// SPDX-License-Identifier: GPL-2.0-or-later
//
// libFuzzer: any bytes as a vmlinux and as a bzImage. The first byte chooses; what parses is asked
// everything there is to ask.
#include <cstdint>
#include <span>

#include "vm/bzimage.h"
#include "vm/vmlinux.h"

namespace {

void ask_everything(const jumpback::Vmlinux& kernel) {
    (void)kernel.banner();
    (void)kernel.release();
    (void)kernel.config();
    for (const jumpback::Symbol& symbol : kernel.table().sorted()) {
        (void)kernel.find(symbol.address);
        (void)kernel.symbol(symbol.name);
        (void)kernel.to_phys(symbol.address);
        (void)kernel.read(symbol.address, jumpback::Bytes{16});
    }
    for (const jumpback::Segment& segment : kernel.segments()) {
        (void)kernel.find(segment.phys);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
    if (data[0] == 'B') {
        (void)jumpback::BzImage::from_memory(file, "fuzz");
    } else if (const auto kernel = jumpback::Vmlinux::from_memory(file, "fuzz"); kernel.ok()) {
        ask_everything(*kernel);
    }
    return 0;
}
