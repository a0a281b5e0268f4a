// SPDX-License-Identifier: GPL-2.0-or-later
//
// The three questions that kimage_alloc_page() asks about a page, answered in two ways that must
// agree: is it in a destination range (kimage_is_destination_range()), is it the destination of an
// entry that stands in the list already (kimage_dst_used()), is it parked (image->dest_pages)?
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "model/kimage/entry.h"
#include "model/kimage/frame_map.h"
#include "model/kimage/load_rules.h"
#include "model/kimage/range_set.h"
#include "model/kimage/segment.h"

namespace jumpback::kimage {

// As the kernel does it: walks over the segments, over the whole list, over the parked pages.
class LinearDestinations {
  public:
    LinearDestinations(const LoadRules& rules, std::span<const Segment> segments,
                       const std::vector<std::uint64_t>& entries)
        : rules_(rules), segments_(segments), entries_(entries) {}

    // Of the `count` bytes from `start` on; not 0.
    [[nodiscard]] bool in_range(std::uint64_t start, std::uint64_t count) const {
        for (const Segment& segment : segments_) {
            const std::uint64_t mstart = segment.mem.raw;
            if (rules_.skips_empty_segments && segment.memsz == 0) {
                continue;
            }
            if (rules_.inclusive_ranges) {  // since 6.12's row: last bytes, not ends
                const std::uint64_t mlast = (segment.end() - 1) & rules_.word_max();
                if (start + count - 1 >= mstart && start <= mlast) {
                    return true;
                }
            } else if (start + count > mstart && start < segment.end()) {
                return true;
            }
        }
        return false;
    }
    // The SOURCE entry whose destination the page is.
    [[nodiscard]] std::optional<std::uint64_t> used_by(Gpa page) {
        std::uint64_t destination = 0;
        for (std::uint64_t at = 0; at < entries_.size(); ++at) {
            const Entry entry{entries_[at]};
            if (entry.is_destination()) {
                destination = entry.page().raw;
            } else if (entry.is_source()) {
                if (page.raw == destination) {
                    steps_ += at + 1;
                    return at;
                }
                destination += kPageSize;
            }
        }
        steps_ += entries_.size();
        return std::nullopt;
    }
    void added(std::uint64_t entry, Gpa destination) {
        (void)entry;
        (void)destination;
    }

    void park(Gpa page) { parked_.push_back(page); }
    bool take_parked(Gpa page) {
        for (std::size_t at = parked_.size(); at-- > 0;) {  // list_add() puts new ones in front
            ++steps_;
            if (parked_[at] == page) {
                parked_.erase(parked_.begin() + static_cast<std::ptrdiff_t>(at));
                return true;
            }
        }
        return false;
    }
    // Those that nothing took, in order.
    [[nodiscard]] std::vector<Gpa> still_parked() const { return parked_; }
    // Entries and parked pages looked at: what makes a load quadratic.
    [[nodiscard]] std::uint64_t steps() const { return steps_; }

  private:
    const LoadRules& rules_;
    std::span<const Segment> segments_;
    const std::vector<std::uint64_t>& entries_;
    std::vector<Gpa> parked_;
    std::uint64_t steps_ = 0;
};

// With a map from destination to entry, kept while the list grows.
class HashedDestinations {
  public:
    HashedDestinations(const LoadRules& rules, std::span<const Segment> segments,
                       const std::vector<std::uint64_t>& entries) {
        (void)entries;
        for (const Segment& segment : segments) {
            ranges_.add(segment.mem.raw, segment.end());
            if (segment.memsz == 0 && !rules.skips_empty_segments) {
                empty_.push_back(segment.mem.raw);
                covers_all_ = covers_all_ || (rules.inclusive_ranges && segment.mem.raw == 0);
            }
        }
    }

    [[nodiscard]] bool in_range(std::uint64_t start, std::uint64_t count) const {
        if (covers_all_ || ranges_.touches(start, start + count)) {
            return true;
        }
        for (const std::uint64_t at : empty_) {  // inside, the kernel's comparison finds it too
            if (start < at && at < start + count) {
                return true;
            }
        }
        return false;
    }
    [[nodiscard]] std::optional<std::uint64_t> used_by(Gpa page) {
        ++steps_;
        const std::optional<std::uint64_t> state = states_.find(pfn_of(page).raw);
        return state && *state != kParked ? std::optional(*state - 1) : std::nullopt;
    }
    void added(std::uint64_t entry, Gpa destination) {
        if (parked_count_ != 0 && is_parked(destination)) {
            // Came as a list page, between the source's allocation and its entry: parked in vain.
            in_vain_.insert(destination.raw);
            --parked_count_;
        }
        states_.set(pfn_of(destination).raw, entry + 1);
    }

    // Only for a destination that no entry has yet: one look-up finds both.
    void park(Gpa page) {
        states_.set(pfn_of(page).raw, kParked);
        ever_parked_.push_back(page);
        ++parked_count_;
    }
    bool take_parked(Gpa page) {
        if (parked_count_ == 0 || !is_parked(page)) {
            return false;
        }
        ++steps_;
        states_.erase(pfn_of(page).raw);
        --parked_count_;
        return true;
    }
    [[nodiscard]] std::vector<Gpa> still_parked() const {
        std::vector<Gpa> left;
        if (parked_count_ == 0 && in_vain_.empty()) {
            return left;
        }
        for (const Gpa page : ever_parked_) {  // no page twice: a parked one is not handed out
            if (is_parked(page) || in_vain_.contains(page.raw)) {
                left.push_back(page);
            }
        }
        return left;
    }
    [[nodiscard]] std::uint64_t steps() const { return steps_; }

  private:
    static constexpr std::uint64_t kParked = 0;
    [[nodiscard]] bool is_parked(Gpa page) const {
        return states_.find(pfn_of(page).raw) == kParked;
    }

    RangeSet ranges_;
    std::vector<std::uint64_t> empty_;  // addresses of segments of length 0
    bool covers_all_ = false;
    FrameMap states_;  // of a destination: kParked, or the number of its entry plus one
    std::vector<Gpa> ever_parked_;
    std::unordered_set<std::uint64_t> in_vain_;  // parked, and an entry's destination as well
    std::uint64_t parked_count_ = 0;             // of those that can still be asked for
    std::uint64_t steps_ = 0;
};

}  // namespace jumpback::kimage
