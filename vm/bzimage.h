// SPDX-License-Identifier: GPL-2.0-or-later
//
// The x86 boot protocol's setup header of a bzImage (Documentation/x86/boot.rst).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "model/address.h"
#include "model/result.h"
#include "vm/byte_source.h"

namespace jumpback {

struct BzImage {
    std::uint16_t protocol = 0;          // 0x020f is 2.15
    std::string version;                 // "6.1.192 (user@host) #1 SMP ..."; empty if there is none
    std::uint8_t setup_sectors = 0;      // of 512 bytes, the boot sector not counted
    Bytes protected_mode_size;           // syssize, in bytes
    std::uint8_t loadflags = 0;          // bit 0: loaded high (0x100000), bit 7: heap usable
    std::uint16_t xloadflags = 0;        // from protocol 2.12; bit 0: 64-bit entry, bit 1: above 4G
    bool relocatable = false;            // from 2.05
    std::uint32_t kernel_alignment = 0;  // bytes, from 2.05
    std::uint32_t cmdline_size = 0;      // bytes without the NUL, from 2.06; 255 before
    Gpa preferred_address;               // from 2.10; 0x100000 before
    Bytes init_size;                     // memory needed from there before the kernel knows its map
    std::uint64_t payload_offset = 0;    // of the packed vmlinux, from the start of the file
    Bytes payload_length;                // from 2.08; 0 before

    [[nodiscard]] bool loaded_high() const { return (loadflags & 0x01U) != 0; }
    // XLF_KERNEL_64: an entry for 64-bit boot loaders stands 0x200 behind the 32-bit one.
    [[nodiscard]] bool has_64bit_entry() const { return (xloadflags & 0x0001U) != 0; }
    [[nodiscard]] bool loadable_above_4g() const { return (xloadflags & 0x0002U) != 0; }
    // "6.1.192"
    [[nodiscard]] std::string release() const { return version.substr(0, version.find(' ')); }

    // Errors name the file and what was expected; a file shorter than its header says is truncated.
    static Result<BzImage> open(const std::string& path);
    static Result<BzImage> from_memory(std::span<const std::byte> file, std::string label);
    static Result<BzImage> parse(const ByteSource& source);
};

}  // namespace jumpback
