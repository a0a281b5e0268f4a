// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/snapshot_accounting.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "model/memory/memory_bitmap.h"
#include "model/memory/nosave.h"
#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

using FrameFlags = std::vector<std::uint8_t>;  // one byte per pfn: 0 or 1

FrameFlags flags_of(const std::vector<std::uint64_t>& pfns, Pfn end) {
    FrameFlags flags(end.raw, 0);
    for (const std::uint64_t pfn : pfns) {
        if (pfn < end.raw) {
            flags[pfn] = 1;
        }
    }
    return flags;
}

bool is_zero_page(const std::byte* page) {
    return std::all_of(page, page + kPageSize, [](std::byte b) { return b == std::byte{0}; });
}

class Accountant {
  public:
    Accountant(const GuestKernel& kernel, const CompareOptions& options)
        : kernel_(kernel), memory_(kernel.memory()), end_(kernel.end_pfn()), options_(options) {}

    Result<SnapshotAccounting> run() {
        for (const auto step :
             {&Accountant::read_structures, &Accountant::check_maps, &Accountant::classify,
              &Accountant::check_recorded, &Accountant::check_copies}) {
            const Status status = (this->*step)();
            if (!status) {
                return status.error();
            }
        }
        return std::move(out_);
    }

  private:
    // ---- reading

    Result<MemoryBitmap> bitmap(const char* name, bool behind_pointer) {
        Result<Gva> address = memory_.symbol(name);
        if (address && behind_pointer) {
            const Result<std::uint64_t> pointer = memory_.word(*address);
            if (!pointer) {
                return pointer.error();
            }
            address = Gva{*pointer};
        }
        if (!address) {
            return address.error();
        }
        const Result<std::uint64_t> first = memory_.word(*address);
        if (address->raw == 0 || !first || *first == 0) {
            return Error{std::string("memory bitmap ") + name,
                         "does not exist: no snapshot is being taken at this moment"};
        }
        return read_memory_bitmap(memory_, *address, name);
    }

    Status read_structures() {
        Result<std::vector<std::uint8_t>> free =
            free_frames(memory_, kernel_.info(), kernel_.frames(), kernel_.types(), kernel_.zones(),
                        end_, out_.oddities);
        if (!free) {
            return free.error();
        }
        free_ = std::move(free).value();
        Result<NosaveFrames> nosave = read_nosave(memory_);
        if (!nosave) {
            return nosave.error();
        }
        nosave_ = std::move(nosave).value();
        struct Wanted {
            const char* name;
            bool behind_pointer;
            MemoryBitmap* place;
        };
        const bool has_zero = memory_.find_symbol("zero_bm").has_value();  // 6.6 and later
        for (const Wanted& wanted :
             {Wanted{"forbidden_pages_map", true, &forbidden_},
              Wanted{"free_pages_map", true, &free_map_}, Wanted{"orig_bm", false, &orig_},
              Wanted{"copy_bm", false, &copy_}, Wanted{"zero_bm", false, &zero_}}) {
            if (wanted.place == &zero_ && !has_zero) {
                continue;
            }
            Result<MemoryBitmap> map = bitmap(wanted.name, wanted.behind_pointer);
            if (!map) {
                return map.error();
            }
            *wanted.place = std::move(map).value();
        }
        return explain_own_pages();
    }

    // Everything that get_image_page() and alloc_image_page() have handed out is a copy page, part
    // of a bitmap made since, or the one buffer page that highmem needs. forbidden_pages_map and
    // free_pages_map themselves were allocated before there was anything to mark them in: ordinary
    // pages.
    Status explain_own_pages() {
        own_ = flags_of(copy_.pfns, end_);
        for (const MemoryBitmap* map : {&orig_, &copy_, &zero_}) {
            for (const std::uint64_t pfn : map->own_frames) {
                if (pfn < end_.raw) {
                    own_[pfn] = 1;
                }
            }
        }
        return success();
    }

    // ---- checking the two maps that saveable_page() asks

    // On highmem machines get_highmem_buffer() takes one page; its pointer is a static variable
    // with a name that others share ("buffer"), so it is recognised: one lone frame that both maps
    // mark.
    void find_highmem_buffer(const FrameFlags& forbidden, const FrameFlags& free_bits) {
        const auto high = [](const Zone& zone) { return zone.high(); };
        if (std::none_of(kernel_.zones().begin(), kernel_.zones().end(), high)) {
            return;
        }
        std::vector<std::uint64_t> lone;
        for (std::uint64_t pfn = 0; pfn < end_.raw && lone.size() < 2; ++pfn) {
            if (forbidden[pfn] != 0 && free_bits[pfn] != 0 && own_[pfn] == 0 && free_[pfn] == 0) {
                lone.push_back(pfn);
            }
        }
        if (lone.size() == 1) {
            own_[lone[0]] = 1;
        }
    }

    Status check_maps() {
        const FrameFlags forbidden = flags_of(forbidden_.pfns, end_);
        const FrameFlags free_bits = flags_of(free_map_.pfns, end_);
        find_highmem_buffer(forbidden, free_bits);
        for (std::uint64_t pfn = 0; pfn < end_.raw; ++pfn) {
            const bool own = own_[pfn] != 0;
            const bool nosave = nosave_.in_region(Pfn{pfn}) && kernel_.frames().valid(Pfn{pfn}) &&
                                forbidden_.covers(Pfn{pfn});
            const bool must_be_forbidden = own || nosave;
            if ((forbidden[pfn] != 0) != must_be_forbidden) {
                odd(pfn, must_be_forbidden
                             ? "not in forbidden_pages_map, but the snapshot's own or nosave"
                             : "in forbidden_pages_map, but neither the snapshot's own nor nosave");
            }
            const bool must_be_free = own || free_[pfn] != 0;
            if ((free_bits[pfn] != 0) != must_be_free) {
                odd(pfn, must_be_free
                             ? "on a free list or the snapshot's own, but not in free_pages_map"
                             : "in free_pages_map, but on no free list");
            }
            if (own && free_[pfn] != 0) {
                odd(pfn, "used by the snapshot code and on a free list at the same time");
            }
        }
        return success();
    }

    // ---- saveable_page() and saveable_highmem_page()

    Status classify() {
        out_.states.assign(end_.raw, static_cast<std::uint8_t>(FrameState::kHole));
        const FrameFlags zero = flags_of(zero_.pfns, end_);
        FrameFlags seen(end_.raw, 0);
        for (const Zone& zone : kernel_.zones()) {
            for (Pfn pfn = zone.start; pfn < zone.end(); pfn = Pfn{pfn.raw + 1}) {
                if (seen[pfn.raw]++ == 1) {
                    odd(pfn.raw, "lies in two zones; its page_zone() is not looked at here");
                }
                const Result<FrameState> state = state_of(zone, pfn);
                if (!state) {
                    return state.error();
                }
                const bool marked = *state == FrameState::kSaved && zero[pfn.raw] != 0;
                out_.states[pfn.raw] =
                    static_cast<std::uint8_t>(marked ? FrameState::kZero : *state);
            }
        }
        for (std::uint64_t pfn = 0; pfn < end_.raw; ++pfn) {
            const std::uint8_t state = out_.states[pfn];
            ++out_.counts.at(state);
            if (state == static_cast<std::uint8_t>(FrameState::kSaved) ||
                state == static_cast<std::uint8_t>(FrameState::kZero)) {
                out_.expected.push_back(pfn);
            }
        }
        return success();
    }

    // Copies and bitmaps are single pages from the page allocator that nobody else has a use for:
    // a bitmap that names somebody's page would hide it from the image, and from us.
    [[nodiscard]] bool looks_own(const PageStruct& page) const {
        return page.refcount == 1 && page.mapping == 0 && !kernel_.types().on_lru(page) &&
               !kernel_.types().reserved(page) && kernel_.types().type_of(page) == PageType::kNone;
    }

    Result<FrameState> state_of(const Zone& zone, Pfn pfn) {
        if (!kernel_.frames().online(pfn)) {
            return FrameState::kHole;
        }
        const Result<PageStruct> page = kernel_.frames().page(pfn);
        if (!page) {
            return page.error();
        }
        if (own_[pfn.raw] != 0) {
            if (!looks_own(*page)) {
                odd(pfn.raw, "claimed by the snapshot code, but its page structure is another's");
            }
            return FrameState::kOwn;
        }
        if (free_[pfn.raw] != 0) {
            return FrameState::kFree;
        }
        if (nosave_.in_region(pfn)) {
            // Regions are holes of the firmware's map (register_nosave_region()): no page of theirs
            // was ever given to the page allocator. One that was is lost by a wrong region.
            if (!kernel_.types().reserved(*page)) {
                odd(pfn.raw, "in a nosave region, but not PG_reserved");
            }
            return FrameState::kNosave;
        }
        const PageType type = kernel_.types().type_of(*page);
        const bool reserved = kernel_.types().reserved(*page);
        // page_is_guard() is compiled in with CONFIG_DEBUG_PAGEALLOC only, and then that type
        // exists.
        if (type == PageType::kOffline || type == PageType::kGuard) {
            return FrameState::kNosave;
        }
        if (reserved &&
            (zone.high() || nosave_.in_section(pfn) || !kernel_.present_in_direct_map(pfn))) {
            return FrameState::kNosave;
        }
        return FrameState::kSaved;
    }

    // ---- the kernel's result against ours

    Status check_recorded() {
        out_.recorded = orig_.pfns;
        out_.zero = zero_.pfns;
        const Coverage coverage = check_coverage(out_.expected, out_.recorded);
        for (const std::uint64_t pfn : coverage.missing) {
            odd(pfn, "had to be saved, but orig_bm does not have it");
        }
        for (const std::uint64_t pfn : coverage.surplus) {
            odd(pfn, "is in orig_bm, but need not or must not be saved");
        }
        for (const std::uint64_t pfn : check_coverage(out_.recorded, out_.zero).surplus) {
            odd(pfn, "is in zero_bm and not in orig_bm");
        }
        for (const std::uint64_t pfn : out_.zero) {
            const std::byte* page = memory_.ram().page_or_null(Pfn{pfn});
            if (page == nullptr || !is_zero_page(page)) {
                odd(pfn, "is in zero_bm and not full of zeros");
            }
        }
        return success();
    }

    Status check_copies() {
        const Result<std::uint32_t> count = memory_.u32_at_symbol("nr_copy_pages");
        if (!count) {
            return count.error();
        }
        out_.nr_copy_pages = *count;
        const FrameFlags zero = flags_of(out_.zero, end_);
        const FrameFlags recorded = flags_of(out_.recorded, end_);
        for (const std::uint64_t pfn : out_.recorded) {
            if (pfn < end_.raw && zero[pfn] == 0) {
                out_.copied.push_back(pfn);
            }
        }
        if (out_.copied.size() != out_.nr_copy_pages) {
            out_.oddities.add(std::nullopt, "nr_copy_pages is " +
                                                std::to_string(out_.nr_copy_pages) + ", but " +
                                                std::to_string(out_.copied.size()) +
                                                " frames are recorded as saveable and not zero");
        }
        for (const std::uint64_t pfn : copy_.pfns) {
            if (pfn >= end_.raw || recorded[pfn] != 0) {
                odd(pfn, "is in copy_bm and in orig_bm: a copy would be saved as an original");
            }
        }
        if (copy_.pfns.size() < out_.copied.size()) {
            return Error{"memory bitmap copy_bm",
                         "has " + std::to_string(copy_.pfns.size()) + " frames for " +
                             std::to_string(out_.copied.size()) +
                             " copies: this is not the moment after copy_data_pages()"};
        }
        // copy_data_pages() walks both bitmaps in step.
        out_.copies.assign(copy_.pfns.begin(),
                           copy_.pfns.begin() + static_cast<std::ptrdiff_t>(out_.copied.size()));
        out_.spare_copy_pages = copy_.pfns.size() - out_.copied.size();
        Result<Comparison> contents =
            compare_frames(memory_.ram(), out_.copied, out_.copies, options_);
        if (!contents) {
            return contents.error();
        }
        out_.copy_contents = std::move(contents).value();
        return success();
    }

    void odd(std::uint64_t pfn, const char* text) {
        out_.oddities.add(Pfn{pfn},
                          std::string(text) + " (" + kernel_.owners().describe(Pfn{pfn}) + ")");
    }

    const GuestKernel& kernel_;
    const KernelMemory& memory_;
    Pfn end_;
    const CompareOptions& options_;
    FrameFlags free_;  // by the free lists
    FrameFlags own_;   // explained as the snapshot code's
    NosaveFrames nosave_;
    MemoryBitmap forbidden_, free_map_, orig_, copy_, zero_;
    SnapshotAccounting out_;
};

}  // namespace

Result<SnapshotAccounting> account_snapshot(const GuestKernel& kernel,
                                            const CompareOptions& copy_options) {
    return Accountant(kernel, copy_options).run();
}

Coverage check_coverage(std::span<const std::uint64_t> expected,
                        std::span<const std::uint64_t> image) {
    std::vector<std::uint64_t> want(expected.begin(), expected.end());
    std::vector<std::uint64_t> have(image.begin(), image.end());
    std::sort(want.begin(), want.end());
    std::sort(have.begin(), have.end());
    want.erase(std::unique(want.begin(), want.end()), want.end());
    Coverage coverage;
    for (std::size_t index = 1; index < have.size(); ++index) {
        if (have[index] == have[index - 1] &&
            (coverage.duplicates.empty() || coverage.duplicates.back() != have[index])) {
            coverage.duplicates.push_back(have[index]);
        }
    }
    have.erase(std::unique(have.begin(), have.end()), have.end());
    std::set_difference(want.begin(), want.end(), have.begin(), have.end(),
                        std::back_inserter(coverage.missing));
    std::set_difference(have.begin(), have.end(), want.begin(), want.end(),
                        std::back_inserter(coverage.surplus));
    return coverage;
}

}  // namespace jumpback::memory
