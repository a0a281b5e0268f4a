// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/image_info.h"

namespace jumpback::swsusp {
namespace {

class InfoReader {
  public:
    InfoReader(ByteView page, const std::string& where) : page_(page), where_(where) {}

    Result<ImageInfo> read(bool check_reserved) {
        if (!recognise()) {
            return at(kInfo64.magic, "magic",
                      cat("found ", hex(load<std::uint64_t>(page_, kInfo64.magic)),
                          " (as 64-bit) and ", hex(load<std::uint32_t>(page_, kInfo32.magic)),
                          " (as 32-bit at byte 12)", ", expected ", hex(kMagic64), " or ",
                          hex(kMagic32), ": not an x86 image of a kernel from 5.10 on"));
        }
        fill();
        if (auto checked = check_record(); !checked.ok()) {
            return checked.error();
        }
        if (auto checked = check_counts(); !checked.ok()) {
            return checked.error();
        }
        if (check_reserved) {
            if (auto checked = check_zeros(); !checked.ok()) {
                return checked.error();
            }
        }
        return info_;
    }

  private:
    [[nodiscard]] Error at(std::size_t offset, std::string_view field, std::string what) const {
        return {cat(where_, ", ", field, " (byte ", offset, ")"), std::move(what)};
    }

    bool recognise() {
        const auto wide = load<std::uint64_t>(page_, kInfo64.magic);
        const auto narrow = load<std::uint32_t>(page_, kInfo32.magic);
        if (wide == kMagic64 || wide == kMagic64Md5) {
            info_.arch = Arch::x86_64;
            info_.magic = wide;
            info_.md5_digest = wide == kMagic64Md5;
            return true;
        }
        info_.arch = Arch::i386;
        info_.magic = narrow;
        info_.md5_digest = narrow == kMagic32Md5;
        return narrow == kMagic32 || narrow == kMagic32Md5;
    }

    [[nodiscard]] std::uint64_t word(std::size_t offset) const {
        return load_word(page_, offset, info_.arch);
    }
    [[nodiscard]] const InfoLayout& layout() const { return info_layout(info_.arch); }
    [[nodiscard]] std::size_t record_end() const {
        return info_.md5_digest ? layout().e820 + kMd5Bytes : layout().record_end;
    }

    void fill() {
        const InfoLayout& at = layout();
        info_.jump_address = word(at.jump_address);
        info_.jump_address_phys = word(at.jump_address_phys);
        info_.cr3 = word(at.cr3);
        if (info_.md5_digest) {
            std::memcpy(info_.e820_digest.data(), page_.data() + at.e820, kMd5Bytes);
        } else {
            info_.e820_checksum = load<std::uint32_t>(page_, at.e820);
        }
        info_.version_code = load<std::uint32_t>(page_, at.version_code);
        info_.num_physpages = word(at.num_physpages);
        info_.cpus = load<std::uint32_t>(page_, at.cpus);
        info_.image_pages = word(at.image_pages);
        info_.pages = word(at.pages);
        info_.size = word(at.size);
    }

    [[nodiscard]] Status check_record() const {
        const InfoLayout& offsets = layout();
        const std::uint64_t limit = pfn_limit(info_.arch) << kPageShift;
        if (info_.jump_address_phys == 0 || info_.jump_address_phys >= limit) {
            return at(offsets.jump_address_phys, "jump_address_phys",
                      cat("found ", hex(info_.jump_address_phys),
                          ", expected a physical address above 0 and below ", hex(limit)));
        }
        if (info_.jump_address == 0 ||
            ((info_.jump_address ^ info_.jump_address_phys) & (kPageSize - 1)) != 0) {
            return at(offsets.jump_address, "jump_address",
                      cat("found ", hex(info_.jump_address),
                          ", expected an address with the same offset in its page as "
                          "jump_address_phys ",
                          hex(info_.jump_address_phys)));
        }
        // PAE page directory pointers lie on 32 bytes; everything else on a page.
        const std::uint64_t alignment = info_.arch == Arch::x86_64 ? kPageSize : 32;
        if (info_.cr3 == 0 || info_.cr3 >= limit || info_.cr3 % alignment != 0) {
            return at(offsets.cr3, "cr3",
                      cat("found ", hex(info_.cr3), ", expected a multiple of ", alignment,
                          " above 0 and below ", hex(limit)));
        }
        if (!info_.md5_digest && info_.arch == Arch::x86_64 && word(offsets.e820) >> 32 != 0) {
            return at(offsets.e820, "e820_checksum",
                      cat("found ", hex(word(offsets.e820)), ", expected 32 bits"));
        }
        return success();
    }

    [[nodiscard]] Status check_counts() const {
        const InfoLayout& offsets = layout();
        const std::uint64_t limit = pfn_limit(info_.arch);
        if (info_.num_physpages == 0 || info_.num_physpages >= limit) {
            return at(offsets.num_physpages, "num_physpages",
                      cat("found ", info_.num_physpages, ", expected 1 to ", limit - 1));
        }
        if (info_.image_pages == 0 || info_.image_pages > info_.num_physpages) {
            return at(offsets.image_pages, "image_pages",
                      cat("found ", info_.image_pages, ", expected 1 to num_physpages ",
                          info_.num_physpages));
        }
        // Zero pages count in the meta pages and not in image_pages, so the pfn list's length
        // bounds the meta pages only from below; all of RAM bounds it from above.
        const std::uint64_t per_page = pfns_per_page(info_.arch);
        const std::uint64_t least =
            1 + info_.image_pages + (info_.image_pages + per_page - 1) / per_page;
        const std::uint64_t most =
            1 + info_.image_pages + (info_.num_physpages + per_page - 1) / per_page;
        if (info_.pages < least || info_.pages > most) {
            return at(offsets.pages, "pages",
                      cat("found ", info_.pages, ", expected ", least, " to ", most, ": 1 + ",
                          info_.image_pages, " image_pages + meta pages of ", per_page,
                          " pfns each for at most num_physpages ", info_.num_physpages));
        }
        const std::uint64_t mask =
            info_.arch == Arch::x86_64 ? ~std::uint64_t{0} : std::uint64_t{0xffffffff};
        if (info_.size != ((info_.pages * kPageSize) & mask)) {
            return at(offsets.size, "size",
                      cat("found ", info_.size, " bytes, expected pages ", info_.pages, " * 4096",
                          info_.arch == Arch::i386 ? " modulo 2^32" : "", " = ",
                          (info_.pages * kPageSize) & mask));
        }
        return success();
    }

    // init_header() clears the page; on x86 uts, version_code and cpus stay so.
    [[nodiscard]] Status check_zeros() const {
        const InfoLayout& offsets = layout();
        if (info_.version_code != 0) {
            return at(
                offsets.version_code, "version_code",
                cat("found ", hex(info_.version_code), ", expected 0 (x86 does not fill it)"));
        }
        if (info_.cpus != 0) {
            return at(offsets.cpus, "cpus",
                      cat("found ", info_.cpus, ", expected 0 (x86 does not fill it)"));
        }
        for (std::size_t offset = record_end(); offset < kPageSize; ++offset) {
            if (offset == offsets.version_code) {
                offset = offsets.end;
            }
            if (page_[offset] != std::byte{0}) {
                return at(
                    offset, "reserved",
                    cat("found ", hex(std::to_integer<unsigned>(page_[offset])), ", expected 0"));
            }
        }
        // Padding of the 64-bit layout after version_code and cpus.
        if (info_.arch == Arch::x86_64) {
            for (const std::size_t offset : {offsets.version_code + 4, offsets.cpus + 4}) {
                if (load<std::uint32_t>(page_, offset) != 0) {
                    return at(
                        offset, "padding",
                        cat("found ", hex(load<std::uint32_t>(page_, offset)), ", expected 0"));
                }
            }
        }
        return success();
    }

    ByteView page_;
    const std::string& where_;
    ImageInfo info_;
};

}  // namespace

Result<ImageInfo> read_image_info(ByteView page, const std::string& where, bool check_reserved) {
    return InfoReader(page, where).read(check_reserved);
}

}  // namespace jumpback::swsusp
