// SPDX-License-Identifier: GPL-2.0-or-later
//
// libFuzzer: any bytes as a vmlinux and as a bzImage. The first byte chooses: 'B' a bzImage, 'F' a
// vmlinux in a file (libelf reads those by another path), else a vmlinux in memory. What parses is
// asked everything there is to ask, at the addresses and lengths where a reader goes wrong.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "vm/bzimage.h"
#include "vm/unique_fd.h"
#include "vm/vmlinux.h"

namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint64_t kTop = ~std::uint64_t{0};
// Bytes. A length that the file allows costs memory and time, so large ones are left out.
constexpr std::uint64_t kLongRead = std::uint64_t{64} * 1024;

void must(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", what);
        std::abort();
    }
}

// Every error names the file.
void check_error(const jumpback::Error& error, const std::string& label) {
    must(error.message().starts_with(label + ": "), "the error names the file");
    must(error.message().size() > label.size() + 2, "the error says something");
}

void read_around(const jumpback::Vmlinux& kernel, jumpback::Gva address, std::uint64_t size) {
    for (const std::uint64_t length :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{16}, size, size + 1, kTop / 2, kTop}) {
        if (length > kLongRead && length < kTop / 2) {
            continue;
        }
        const auto bytes = kernel.read(address, jumpback::Bytes{length});
        if (bytes) {
            must(bytes->size() == length, "a read gives as many bytes as were asked for");
        } else {
            check_error(bytes.error(), kernel.path());
        }
    }
}

// A byte that is read is the file's own, or zero behind what the file has (.bss).
void check_content(const jumpback::Vmlinux& kernel, Bytes file, jumpback::Gva address) {
    const auto byte = kernel.read(address, jumpback::Bytes{1});
    if (!byte) {
        return;
    }
    for (const jumpback::Segment& segment : kernel.segments()) {
        if (segment.virt.raw == 0) {
            return;  // zero-based per-CPU: its address in the running kernel is the reader's matter
        }
        const std::uint64_t skip = address.raw - segment.virt.raw;
        if (address < segment.virt || skip >= segment.memory_size.raw) {
            continue;
        }
        if (skip >= segment.file_size.raw) {
            must(byte->front() == std::byte{0}, ".bss reads as zero");
        } else {
            must(segment.file_offset < file.size() && skip < file.size() - segment.file_offset,
                 "no byte is read from behind the end of the file");
            must(byte->front() == file[segment.file_offset + skip], "a byte is the file's own");
        }
        return;
    }
    must(false, "a byte that is read lies in a segment");
}

void ask_about(const jumpback::Vmlinux& kernel, Bytes file, jumpback::Gva address) {
    check_content(kernel, file, address);
    if (const auto found = kernel.find(address)) {
        must(!found->symbol.name.empty(), "a symbol that is found has a name");
        must(found->symbol.percpu || found->symbol.address.raw + found->offset.raw == address.raw,
             "a symbol and its offset are the address");
    }
    if (const auto phys = kernel.to_phys(address)) {
        (void)kernel.to_virt(*phys);
        (void)kernel.find(*phys);
    }
}

void ask_everything(const jumpback::Vmlinux& kernel, Bytes file) {
    (void)to_string(kernel.arch());
    (void)kernel.entry();
    if (const auto banner = kernel.banner(); !banner) {
        check_error(banner.error(), kernel.path());
    }
    (void)kernel.release();
    if (const auto config = kernel.config(); !config) {
        check_error(config.error(), kernel.path());
    }
    check_error(kernel.symbol("no such symbol").error(), kernel.path());
    must(!kernel.table().sorted().empty(), "a kernel that parses has symbols");
    for (const jumpback::Symbol& symbol : kernel.table().sorted()) {
        const auto all = kernel.symbols(symbol.name);
        must(std::any_of(all.begin(), all.end(),
                         [&](const auto& one) { return one.address == symbol.address; }),
             "a symbol is found by its name");
        must(kernel.symbol(symbol.name).ok() == (all.size() == 1), "one symbol is no choice");
        ask_about(kernel, file, symbol.address);
        read_around(kernel, symbol.address, symbol.size.raw);
    }
    for (const jumpback::Segment& segment : kernel.segments()) {
        const std::array<std::uint64_t, 5> edges = {
            0, segment.file_size.raw, segment.file_size.raw - 1, segment.memory_size.raw,
            segment.memory_size.raw - 1};
        for (const std::uint64_t edge : edges) {
            ask_about(kernel, file, jumpback::Gva{segment.virt.raw + edge});
            read_around(kernel, jumpback::Gva{segment.virt.raw + edge}, segment.file_size.raw);
            (void)kernel.find(jumpback::Gpa{segment.phys.raw + edge});
        }
    }
    ask_about(kernel, file, jumpback::Gva{0});
    ask_about(kernel, file, jumpback::Gva{kTop});
}

void take(const jumpback::Result<jumpback::Vmlinux>& kernel, Bytes file, const std::string& label) {
    if (kernel) {
        ask_everything(*kernel, file);
    } else {
        check_error(kernel.error(), label);
    }
}

void as_file(Bytes bytes) {
    const jumpback::UniqueFd file(::memfd_create("fuzz", MFD_CLOEXEC));
    must(file.valid(), "a memory file can be made");
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t written = ::write(file.get(), bytes.data() + done, bytes.size() - done);
        must(written > 0, "the memory file can be written");
        done += static_cast<std::size_t>(written);
    }
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    take(jumpback::Vmlinux::open(path), bytes, path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const Bytes file(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
    if (data[0] == 'B') {
        (void)jumpback::BzImage::from_memory(file, "fuzz");
    } else if (data[0] == 'F') {
        as_file(file);
    } else {
        take(jumpback::Vmlinux::from_memory(file, "fuzz"), file, "fuzz");
    }
    return 0;
}
