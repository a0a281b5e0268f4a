// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/relocate/swapped.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "model/memory/text.h"
#include "model/relocate/frame_judge.h"

namespace jumpback::relocate {
namespace {

using memory::GuestRam;
using memory::hex;
using memory::RamRegion;

alignas(kPageSize) constexpr std::array<std::byte, kPageSize> kZeroPage{};
constexpr std::uint64_t kZero = ~std::uint64_t{0};
constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

// Frames numbered through all regions, in the order of their addresses: no holes.
class Slots {
  public:
    explicit Slots(const GuestRam& ram) {
        for (const RamRegion& region : ram.regions()) {
            first_.push_back(count_);
            count_ += region.length.raw >> kPageShift;
        }
        regions_ = ram.regions();
    }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::uint64_t of(Pfn pfn) const {
        for (std::size_t at = 0; at < regions_.size(); ++at) {
            const std::uint64_t inside = pfn.raw - pfn_of(regions_[at].gpa).raw;
            if (pfn.raw >= pfn_of(regions_[at].gpa).raw &&
                inside < regions_[at].length.raw >> kPageShift) {
                return first_[at] + inside;
            }
        }
        return kNowhere;
    }
    [[nodiscard]] std::uint64_t first_of(std::size_t region) const { return first_[region]; }

  private:
    std::vector<RamRegion> regions_;
    std::vector<std::uint64_t> first_;
    std::uint64_t count_ = 0;
};

// A RAM state by slot: a page, or the page of zeros.
class Pages {
  public:
    Pages(const RamState& state, const Slots& slots) : state_(state), slots_(slots) {
        if (!state.sparse) {
            return;
        }
        there_.assign(slots.count(), 0);
        for (const Extent& extent : state.resident) {
            for (std::size_t at = 0; at < regions().size(); ++at) {
                mark(extent, regions()[at], slots.first_of(at));
            }
        }
    }
    [[nodiscard]] const std::vector<RamRegion>& regions() const { return state_.ram->regions(); }
    [[nodiscard]] bool resident(std::uint64_t slot) const {
        return !state_.sparse || there_[slot] != 0;
    }
    // Of a slot of region `at`, resident or not.
    [[nodiscard]] const std::byte* bytes(std::size_t at, std::uint64_t slot) const {
        const std::uint64_t inside = (slot - slots_.first_of(at)) << kPageShift;
        return state_.ram->bytes_of(regions()[at]).data() + inside;
    }
    [[nodiscard]] const std::byte* page(std::uint64_t slot) const {
        if (!resident(slot)) {
            return kZeroPage.data();
        }
        std::size_t at = regions().size() - 1;
        while (slot < slots_.first_of(at)) {
            --at;
        }
        return bytes(at, slot);
    }

  private:
    void mark(const Extent& extent, const RamRegion& region, std::uint64_t first) {
        const std::uint64_t from = std::max(extent.offset.raw, region.offset.raw);
        const std::uint64_t end =
            std::min(extent.offset.raw + extent.length.raw, region.offset.raw + region.length.raw);
        if (from >= end) {
            return;
        }
        const std::uint64_t begin = (from - region.offset.raw) >> kPageShift;
        const std::uint64_t stop = (end - region.offset.raw + kPageSize - 1) >> kPageShift;
        std::fill(there_.begin() + static_cast<std::ptrdiff_t>(first + begin),
                  there_.begin() + static_cast<std::ptrdiff_t>(first + stop), std::uint8_t{1});
    }

    const RamState& state_;
    const Slots& slots_;
    std::vector<std::uint8_t> there_;
};

Error not_ram(const std::string& what, std::uint64_t gpa) {
    return {what, "page " + hex(gpa) + " is not RAM"};
}

// For each slot the slot whose content it must hold.
Result<std::vector<std::uint64_t>> partners(const Slots& slots,
                                            std::span<const kimage::Move> moves) {
    std::vector<std::uint64_t> from(slots.count());
    for (std::uint64_t slot = 0; slot < from.size(); ++slot) {
        from[slot] = slot;
    }
    for (std::size_t number = 0; number < moves.size(); ++number) {
        const kimage::Move& move = moves[number];
        const std::string name = "move " + std::to_string(number);
        const std::uint64_t source = slots.of(pfn_of(move.source));
        const std::uint64_t destination = slots.of(pfn_of(move.destination));
        if (source == kNowhere || destination == kNowhere) {
            return not_ram(name, (source == kNowhere ? move.source : move.destination).raw);
        }
        if (from[source] != source || from[destination] != destination) {
            return Error{name, "page " + hex(move.source.raw) + " or page " +
                                   hex(move.destination.raw) + " stands in an earlier move, too"};
        }
        std::swap(from[source], from[destination]);
    }
    return from;
}

class Comparer {
  public:
    Comparer(const Pages& before, const Pages& after, std::span<const std::uint64_t> from,
             std::span<const std::uint8_t> skip, FrameJudge& judge)
        : before_(before), after_(after), from_(from), skip_(skip), judge_(judge) {}

    void region(std::size_t at, Gpa gpa, std::uint64_t first, std::uint64_t count) {
        std::uint64_t slot = first;
        const std::uint64_t end = first + count;
        const auto gpa_at = [&](std::uint64_t number) {
            return Gpa{gpa.raw + ((number - first) << kPageShift)};
        };
        while (slot < end) {
            const std::uint64_t begin = slot;
            if (skip_[slot] != 0) {
                ++slot;
            } else if (plain(slot)) {
                while (slot < end && skip_[slot] == 0 && plain(slot)) {
                    ++slot;
                }
                judge_.region(gpa_at(begin), before_.bytes(at, begin), after_.bytes(at, begin),
                              (slot - begin) << kPageShift);
            } else {
                one(gpa_at(slot), slot);
                ++slot;
            }
        }
    }

  private:
    // At its own frame, and there on both sides.
    [[nodiscard]] bool plain(std::uint64_t slot) const {
        return from_[slot] == slot && before_.resident(slot) && after_.resident(slot);
    }
    void one(Gpa gpa, std::uint64_t slot) {
        if (!before_.resident(from_[slot]) && !after_.resident(slot)) {
            judge_.equal_pages(1);
            return;
        }
        judge_.page(gpa, before_.page(from_[slot]), after_.page(slot));
    }

    const Pages& before_;
    const Pages& after_;
    std::span<const std::uint64_t> from_;
    std::span<const std::uint8_t> skip_;
    FrameJudge& judge_;
};

Status same_regions(const GuestRam& before, const GuestRam& after) {
    const auto same = [](const RamRegion& a, const RamRegion& b) {
        return a.gpa == b.gpa && a.length == b.length;
    };
    if (!std::equal(before.regions().begin(), before.regions().end(), after.regions().begin(),
                    after.regions().end(), same)) {
        return Error{"comparison of two RAM views", "their regions differ"};
    }
    return success();
}

}  // namespace

Result<FrameComparison> compare_swapped(const RamState& before, const RamState& after,
                                        const SwapQuestion& question) {
    Status sound = same_regions(*before.ram, *after.ram);
    if (sound) {
        sound = check_allowances(question.allowed);
    }
    if (!sound) {
        return sound.error();
    }
    const Slots slots(*before.ram);
    const Result<std::vector<std::uint64_t>> from = partners(slots, question.moves);
    if (!from) {
        return from.error();
    }
    std::vector<std::uint8_t> skip(slots.count(), 0);
    for (const std::uint64_t pfn : question.left_out) {
        const std::uint64_t slot = slots.of(Pfn{pfn});
        if (slot == kNowhere) {
            return not_ram("frame that is left out", pfn << kPageShift);
        }
        skip[slot] = 1;
    }
    const Pages old_pages(before, slots);
    const Pages new_pages(after, slots);
    FrameComparison out;
    FrameJudge judge(question.allowed, question.limit, out);
    Comparer comparer(old_pages, new_pages, *from, skip, judge);
    const std::vector<RamRegion>& regions = before.ram->regions();
    for (std::size_t at = 0; at < regions.size(); ++at) {
        comparer.region(at, regions[at].gpa, slots.first_of(at),
                        regions[at].length.raw >> kPageShift);
    }
    return out;
}

Status FrameCopy::take(const RamState& state, std::span<const Gpa> frames) {
    const Slots slots(*state.ram);
    const Pages pages(state, slots);
    place_.clear();
    used_ = 0;
    std::vector<std::uint64_t> from;
    from.reserve(frames.size());
    std::uint64_t resident = 0;
    for (const Gpa frame : frames) {
        const std::uint64_t slot = slots.of(pfn_of(frame));
        if (slot == kNowhere) {
            return not_ram("frame that is copied", frame.raw);
        }
        from.push_back(slot);
        resident += pages.resident(slot) ? 1 : 0;
    }
    if (room_ < resident * kPageSize) {
        data_ = std::make_unique_for_overwrite<std::byte[]>(resident * kPageSize);
        room_ = resident * kPageSize;
    }
    place_.reserve(frames.size());
    for (const std::uint64_t slot : from) {
        if (!pages.resident(slot)) {
            place_.push_back(kZero);
            continue;
        }
        std::memcpy(data_.get() + used_, pages.page(slot), kPageSize);
        place_.push_back(used_);
        used_ += kPageSize;
    }
    return success();
}

const std::byte* FrameCopy::page(std::size_t index) const {
    return place_[index] == kZero ? kZeroPage.data() : data_.get() + place_[index];
}

Result<FrameComparison> compare_copy(const FrameCopy& copy, const RamState& after,
                                     std::span<const Gpa> frames,
                                     std::span<const Allowance> allowed, std::size_t limit) {
    if (copy.size() != frames.size()) {
        return Error{"comparison with copied frames", std::to_string(copy.size()) +
                                                          " were copied, " +
                                                          std::to_string(frames.size()) + " given"};
    }
    Status sound = check_allowances(allowed);
    if (!sound) {
        return sound.error();
    }
    const Slots slots(*after.ram);
    const Pages pages(after, slots);
    FrameComparison out;
    FrameJudge judge(allowed, limit, out);
    for (std::size_t at = 0; at < frames.size(); ++at) {
        const std::uint64_t slot = slots.of(pfn_of(frames[at]));
        if (slot == kNowhere) {
            return not_ram("frame that is compared", frames[at].raw);
        }
        judge.page(frames[at], copy.page(at), pages.page(slot));
    }
    return out;
}

}  // namespace jumpback::relocate
