// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/swap_header.h"

#include <algorithm>

namespace jumpback::swsusp {
namespace {

std::string text_at(ByteView page, std::size_t offset) {
    std::string text(kSigLength, '\0');
    std::memcpy(text.data(), page.data() + offset, kSigLength);
    return text;
}

std::string printable(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c >= ' ' && c <= '~') {
            out += c;
        } else {
            out += "\\" + hex(static_cast<unsigned char>(c)).substr(1);
        }
    }
    return out;
}

bool is_swap(std::string_view sig) { return sig == kSigSwap1 || sig == kSigSwap2; }

std::string place(std::uint64_t page, std::string_view field, std::size_t offset) {
    return cat("swap header, ", field, " at disk offset ", hex(page * kPageSize + offset));
}

// Why there is nothing to read, for a signature that is not S1SUSPEND.
Error no_image(const SwapHeader& header, std::string_view sig) {
    const std::string where = place(header.page, "signature", kOffSig);
    if (header.consumed) {
        return {where, cat("no hibernation image: plain swap area, signature \"", sig,
                           "\". An image was here: the header still names its first map page ",
                           header.image_start, " and flags ", hex(header.flags),
                           "; a kernel puts the swap signature back before it loads. Read it with "
                           "ignore_signature if swap was not used since")};
    }
    if (is_swap(sig)) {
        return {where, cat("no hibernation image: plain swap area, signature \"", sig,
                           "\", expected \"S1SUSPEND\"")};
    }
    return {where,
            cat("no hibernation image and no swap area: expected \"S1SUSPEND\" (or a swap "
                "signature), found \"",
                printable(sig),
                "\". For a swap file give its header page (resume_offset) in the block device")};
}

Status check_flags(const SwapHeader& header) {
    const std::string where = place(header.page, "flags", kOffFlags);
    const std::string found = "found " + hex(header.flags);
    if ((header.flags & ~kKnownFlags) != 0) {
        return Error{where, cat(found, ", expected only the known bits ", hex(kKnownFlags),
                                " (platform, nocompress, crc32, hw_sig, lz4)")};
    }
    if (header.has(kFlagNoCompress) && header.has(kFlagCrc32 | kFlagLz4)) {
        return Error{where,
                     cat(found, ": nocompress together with crc32 or lz4, which no kernel sets")};
    }
    if (!header.has(kFlagNoCompress) && !header.has(kFlagCrc32)) {
        return Error{where, cat(found,
                                ": a compressed image without crc32, which every kernel since "
                                "3.3 sets")};
    }
    return success();
}

}  // namespace

Compression SwapHeader::compression() const {
    if (has(kFlagNoCompress)) {
        return Compression::none;
    }
    return has(kFlagLz4) ? Compression::lz4 : Compression::lzo;
}

Result<SwapHeader> read_swap_header(ByteView disk, const ParseOptions& options) {
    const std::uint64_t disk_pages = disk.size() / kPageSize;
    if (options.header_page >= disk_pages) {
        return Error{
            cat("swap header page ", options.header_page),
            cat("outside the buffer of ", disk.size(), " bytes (", disk_pages, " whole pages)")};
    }
    const ByteView page = page_at(disk, options.header_page);
    SwapHeader header;
    header.page = options.header_page;
    header.image_start = load<std::uint64_t>(page, kOffImage);
    header.flags = load<std::uint32_t>(page, kOffFlags);
    header.crc32 = load<std::uint32_t>(page, kOffCrc32);
    const std::string sig = text_at(page, kOffSig);
    const std::string original = text_at(page, kOffOrigSig);
    header.signature = sig.substr(0, std::min(sig.find('\0'), kSigLength));
    header.original_signature = original.substr(0, std::min(original.find('\0'), kSigLength));
    header.consumed = is_swap(sig) && original == sig && header.image_start != 0;

    if (sig != kSigImage && !options.ignore_signature) {
        return no_image(header, sig);
    }
    if (!is_swap(original) && !options.ignore_signature) {
        return Error{place(header.page, "original signature", kOffOrigSig),
                     cat("expected SWAPSPACE2 or SWAP-SPACE, found \"", printable(original), "\"")};
    }
    if (auto checked = check_flags(header); !checked.ok()) {
        return checked.error();
    }
    if (options.image_start) {
        header.image_start = *options.image_start;
    }
    if (header.has(kFlagHwSig)) {
        header.hardware_signature = load<std::uint32_t>(page, kOffHwSig);
    }
    if (header.image_start == 0 || header.image_start >= disk_pages ||
        header.image_start == header.page) {
        return Error{place(header.page, "image", kOffImage),
                     cat("first swap map page ", header.image_start, ", expected 1 to ",
                         disk_pages - 1, " and not the header page ", header.page)};
    }
    return header;
}

}  // namespace jumpback::swsusp
