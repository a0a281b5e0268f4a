// SPDX-License-Identifier: GPL-2.0-or-later
//
// Bytes of the kernel image: banner, release, embedded config.
#include <algorithm>
#include <string>

#include "vm/inflate.h"
#include "vm/text.h"
#include "vm/vmlinux.h"

namespace jumpback {
namespace {

constexpr std::uint64_t kBannerLimit = 1024;  // bytes; real banners stay below 300
constexpr std::uint64_t kConfigLimit =
    std::uint64_t{16} * 1024 * 1024;  // bytes; a full .config has 0.3 MB
constexpr std::uint64_t kReadLimit =
    std::uint64_t{256} * 1024 * 1024;  // bytes; no kernel image is larger
constexpr std::string_view kBannerStart = "Linux version ";

std::string_view text_of(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Result<std::vector<std::byte>> Vmlinux::read(Gva address, Bytes length) const {
    for (const Segment& segment : segments_) {
        const std::uint64_t start = kernel_virt(segment).raw;
        const std::uint64_t size = segment.memory_size.raw;
        if (address.raw < start || address.raw - start >= size) {
            continue;
        }
        const std::uint64_t skip = address.raw - start;
        if (length.raw > size - skip || length.raw > kReadLimit) {
            return Error{path(), std::to_string(length.raw) + " bytes at " + hex(address.raw) +
                                     " reach beyond their segment, which ends at " +
                                     hex(start + size)};
        }
        const std::uint64_t in_file =
            skip < segment.file_size.raw ? std::min(length.raw, segment.file_size.raw - skip) : 0;
        if (segment.file_offset > source_.size()) {
            return Error{path(), "segment at " + hex(start) + " has its bytes at file offset " +
                                     hex(segment.file_offset) + ", beyond the end of the file"};
        }
        auto bytes = source_.read(segment.file_offset + (in_file != 0 ? skip : 0), in_file,
                                  "kernel image at " + hex(address.raw));
        if (bytes) {
            bytes.value().resize(static_cast<std::size_t>(length.raw));  // .bss reads as zero
        }
        return bytes;
    }
    return Error{path(), "address " + hex(address.raw) + " lies in no segment of the kernel image"};
}

Result<std::string> Vmlinux::banner() const {
    const auto where = symbol("linux_banner");
    if (!where) {
        return where.error();
    }
    // The symbol's size, if the file says it, else as far as a banner and the segment may reach.
    std::uint64_t length = where->size.raw != 0 ? where->size.raw : kBannerLimit;
    for (const Segment& segment : segments_) {
        const std::uint64_t skip = where->address.raw - segment.virt.raw;
        if (where->address >= segment.virt && skip < segment.memory_size.raw) {
            length = std::min({length, kBannerLimit, segment.memory_size.raw - skip});
        }
    }
    const auto bytes = read(where->address, Bytes{length});
    if (!bytes) {
        return bytes.error();
    }
    std::string_view text = text_of(*bytes);
    text = text.substr(0, text.find('\0'));
    text = text.substr(0, text.find('\n'));
    if (!text.starts_with(kBannerStart)) {
        return Error{path(),
                     "linux_banner does not start with 'Linux version ': the symbol table "
                     "and the image do not belong together"};
    }
    return std::string(text);
}

Result<std::string> Vmlinux::release() const {
    const auto text = banner();
    if (!text) {
        return text.error();
    }
    const std::string rest = text->substr(kBannerStart.size());
    return rest.substr(0, rest.find(' '));
}

// kernel/configs.c: "IKCFG_ST", kernel_config_data, gzip stream, kernel_config_data_end,
// "IKCFG_ED".
Result<std::optional<std::vector<std::byte>>> Vmlinux::config() const {
    constexpr std::string_view kStart = "IKCFG_ST";
    constexpr std::string_view kEnd = "IKCFG_ED";
    const auto start = symbols("kernel_config_data");
    const auto end = symbols("kernel_config_data_end");
    if (start.size() != 1 || end.size() != 1) {
        return std::optional<std::vector<std::byte>>{};
    }
    const std::uint64_t from = start.front().address.raw;
    const std::uint64_t to = end.front().address.raw;
    if (from < kStart.size() || to < from || to - from > kConfigLimit) {
        return Error{path(), "kernel_config_data and its end do not enclose a config"};
    }
    const auto bytes =
        read(Gva{from - kStart.size()}, Bytes{kStart.size() + (to - from) + kEnd.size()});
    if (!bytes) {
        return bytes.error();
    }
    const std::string_view text = text_of(*bytes);
    if (!text.starts_with(kStart) || !text.ends_with(kEnd)) {
        return Error{path(), "the embedded config lacks its marks IKCFG_ST and IKCFG_ED"};
    }
    const std::span<const std::byte> all = *bytes;
    auto unpacked = inflate_gzip(all.subspan(kStart.size(), static_cast<std::size_t>(to - from)),
                                 Bytes{kConfigLimit});
    if (!unpacked) {
        return Error{path(), "embedded config: " + unpacked.error().message()};
    }
    return std::optional<std::vector<std::byte>>(std::move(unpacked).value());
}

}  // namespace jumpback
