// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/image/pfn_list.h"

namespace jumpback::swsusp {
namespace {

class PfnReader {
  public:
    PfnReader(ByteView meta, const ImageInfo& info, std::uint64_t limit, const MetaPlace& place)
        : meta_(meta), info_(info), limit_(limit), place_(place) {}

    Result<PfnList> read(bool check_reserved) {
        const std::uint64_t per_page = pfns_per_page(info_.arch);
        const std::uint64_t slots = info_.meta_pages() * per_page;
        list_.pfns.reserve(static_cast<std::size_t>(slots));
        list_.zero.reserve(static_cast<std::size_t>(slots));
        std::uint64_t slot = 0;
        for (; slot < slots; ++slot) {
            const std::uint64_t raw = word(slot);
            if (raw == pfn_end_mark(info_.arch)) {
                break;
            }
            if (auto taken = take(slot, raw); !taken.ok()) {
                return taken.error();
            }
        }
        if (slot <= (info_.meta_pages() - 1) * per_page) {
            return at(slot, cat("the list ends here, expected its end in the last of ",
                                info_.meta_pages(), " meta pages"));
        }
        for (std::uint64_t rest = slot + 1; check_reserved && rest < slots; ++rest) {
            if (word(rest) != 0) {
                return at(rest, cat("found ", hex(word(rest)), " after the end mark, expected 0"));
            }
        }
        const std::uint64_t stored = list_.pfns.size() - list_.zero_count;
        if (stored != info_.image_pages) {
            return at(slot, cat("the list names ", stored, " stored frames (and ", list_.zero_count,
                                " zero ones), expected image_pages ", info_.image_pages));
        }
        if (list_.pfns.size() > info_.num_physpages) {
            return at(slot, cat("the list names ", list_.pfns.size(),
                                " frames, expected at most num_physpages ", info_.num_physpages));
        }
        return std::move(list_);
    }

  private:
    [[nodiscard]] std::uint64_t word(std::uint64_t slot) const {
        return load_word(meta_, static_cast<std::size_t>(slot) * word_bytes(info_.arch),
                         info_.arch);
    }

    [[nodiscard]] Error at(std::uint64_t slot, std::string what) const {
        const std::uint64_t per_page = pfns_per_page(info_.arch);
        const std::uint64_t last = info_.meta_pages() - 1;
        const std::uint64_t page = slot / per_page > last ? last : slot / per_page;
        return {
            cat("pfn list, meta page ", page, " slot ", slot - page * per_page, ", ", place_(page)),
            std::move(what)};
    }

    Status take(std::uint64_t slot, std::uint64_t raw) {
        const bool zero = (raw & pfn_zero_flag(info_.arch)) != 0;
        const std::uint64_t pfn = raw & ~pfn_zero_flag(info_.arch);
        if (pfn >= limit_) {
            return at(slot, cat("pfn ", hex(pfn), ", expected below ", hex(limit_)));
        }
        if (!list_.pfns.empty() && pfn <= list_.pfns.back().raw) {
            return at(slot, cat("pfn ", hex(pfn), " after ", hex(list_.pfns.back().raw),
                                pfn == list_.pfns.back().raw ? ": the same frame twice"
                                                             : ", expected ascending order"));
        }
        list_.pfns.emplace_back(pfn);
        list_.zero.push_back(zero ? 1 : 0);
        list_.zero_count += zero ? 1 : 0;
        return success();
    }

    ByteView meta_;
    const ImageInfo& info_;
    std::uint64_t limit_;
    const MetaPlace& place_;
    PfnList list_;
};

}  // namespace

Result<PfnList> read_pfn_list(ByteView meta, const ImageInfo& info, std::uint64_t pfn_limit,
                              bool check_reserved, const MetaPlace& place) {
    return PfnReader(meta, info, pfn_limit, place).read(check_reserved);
}

}  // namespace jumpback::swsusp
