// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/bzimage.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace jumpback {
namespace {

// Offsets into the file, arch/x86/boot/header.S and Documentation/x86/boot.rst.
constexpr std::size_t kSetupSects = 0x1f1;
constexpr std::size_t kSysSize = 0x1f4;
constexpr std::size_t kBootFlag = 0x1fe;
constexpr std::size_t kMagic = 0x202;
constexpr std::size_t kVersion = 0x206;
constexpr std::size_t kKernelVersion = 0x20e;
constexpr std::size_t kLoadflags = 0x211;
constexpr std::size_t kAlignment = 0x230;
constexpr std::size_t kRelocatable = 0x234;
constexpr std::size_t kXloadflags = 0x236;
constexpr std::size_t kCmdlineSize = 0x238;
constexpr std::size_t kPayloadOffset = 0x248;
constexpr std::size_t kPayloadLength = 0x24c;
constexpr std::size_t kPrefAddress = 0x258;
constexpr std::size_t kInitSize = 0x260;
constexpr std::size_t kHeaderEnd = 0x268;
constexpr std::uint64_t kSector = 512;      // bytes
constexpr std::uint64_t kVersionMax = 256;  // bytes; real strings stay below 150

using Header = std::array<std::byte, kHeaderEnd>;

template <typename T>
T field(const Header& header, std::size_t offset) {
    T value;  // x86 hosts only: the host is little-endian as the header is
    std::memcpy(&value, header.data() + offset, sizeof(T));
    return value;
}

Result<std::string> read_version(const ByteSource& source, std::uint16_t pointer,
                                 std::uint64_t setup_bytes) {
    if (pointer == 0) {
        return std::string();
    }
    // boot.rst: the pointer counts from 0x200 and lies below 0x200 * setup_sects.
    const std::uint64_t start = std::uint64_t{pointer} + kSector;
    if (start >= setup_bytes) {
        return Error{source.label(), "setup header: kernel_version points to offset " +
                                         std::to_string(start) + ", behind the setup code (" +
                                         std::to_string(setup_bytes) + " bytes)"};
    }
    const auto bytes =
        source.read(start, std::min(kVersionMax, setup_bytes - start), "the kernel version string");
    if (!bytes) {
        return bytes.error();
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    return std::string(text.substr(0, text.find('\0')));
}

}  // namespace

Result<BzImage> BzImage::open(const std::string& path) {
    const auto source = ByteSource::open(path);
    return source ? parse(*source) : Result<BzImage>(source.error());
}

Result<BzImage> BzImage::from_memory(std::span<const std::byte> file, std::string label) {
    return parse(ByteSource::over(file, std::move(label)));
}

Result<BzImage> BzImage::parse(const ByteSource& source) {
    Header header{};
    if (source.size() < header.size()) {
        return Error{source.label(), "is not a bzImage: " + std::to_string(source.size()) +
                                         " bytes are too few for a setup header (" +
                                         std::to_string(header.size()) + " bytes)"};
    }
    if (const Status status = source.read_at(0, header, "the setup header"); !status) {
        return status.error();
    }
    if (field<std::uint16_t>(header, kBootFlag) != 0xaa55 ||
        std::memcmp(header.data() + kMagic, "HdrS", 4) != 0) {
        return Error{source.label(),
                     "is not a bzImage: no 0xaa55 at 0x1fe or no 'HdrS' at 0x202; expected "
                     "arch/x86/boot/bzImage of a kernel build (not vmlinux)"};
    }
    BzImage image;
    image.protocol = field<std::uint16_t>(header, kVersion);
    if (image.protocol < 0x0200) {
        return Error{source.label(), "speaks boot protocol " + std::to_string(image.protocol) +
                                         "; expected 2.00 (512) or later"};
    }
    const auto sectors = field<std::uint8_t>(header, kSetupSects);
    image.setup_sectors = sectors == 0 ? 4 : sectors;  // boot.rst: 0 means 4
    image.loadflags = field<std::uint8_t>(header, kLoadflags);
    const auto paragraphs = field<std::uint32_t>(header, kSysSize);
    image.protected_mode_size = Bytes{std::uint64_t{paragraphs} * 16};
    const std::uint64_t setup_bytes = (std::uint64_t{image.setup_sectors} + 1) * kSector;
    if (!source.contains(setup_bytes, image.protected_mode_size.raw)) {
        return Error{source.label(), "is truncated: its setup header promises " +
                                         std::to_string(setup_bytes) + " + " +
                                         std::to_string(image.protected_mode_size.raw) +
                                         " bytes, the file has " + std::to_string(source.size())};
    }
    const bool has_alignment = image.protocol >= 0x0205;
    image.kernel_alignment = has_alignment ? field<std::uint32_t>(header, kAlignment) : 0;
    image.relocatable = has_alignment && field<std::uint8_t>(header, kRelocatable) != 0;
    image.cmdline_size =
        image.protocol >= 0x0206 ? field<std::uint32_t>(header, kCmdlineSize) : 255;
    if (image.protocol >= 0x0208) {
        image.payload_length = Bytes{field<std::uint32_t>(header, kPayloadLength)};
        image.payload_offset = setup_bytes + field<std::uint32_t>(header, kPayloadOffset);
        if (!source.contains(image.payload_offset, image.payload_length.raw)) {
            return Error{source.label(),
                         "setup header: payload (" + std::to_string(image.payload_length.raw) +
                             " bytes at offset " + std::to_string(image.payload_offset) +
                             ") reaches beyond the end of the file"};
        }
    }
    const bool has_address = image.protocol >= 0x020a;
    image.preferred_address =
        Gpa{has_address ? field<std::uint64_t>(header, kPrefAddress) : 0x100000};
    image.init_size = Bytes{has_address ? field<std::uint32_t>(header, kInitSize) : 0};
    image.xloadflags =
        image.protocol >= 0x020c ? field<std::uint16_t>(header, kXloadflags) : std::uint16_t{0};
    auto version = read_version(source, field<std::uint16_t>(header, kKernelVersion), setup_bytes);
    if (!version) {
        return version.error();
    }
    image.version = std::move(version).value();
    return image;
}

}  // namespace jumpback
