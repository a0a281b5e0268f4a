// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/memory/memory_bitmap.h"

#include <array>
#include <bit>
#include <string>

#include "model/memory/text.h"

namespace jumpback::memory {
namespace {

constexpr std::uint64_t kBitsPerBlock = kPageSize * 8;  // BM_BITS_PER_BLOCK
constexpr std::uint64_t kMaxExtents = 4096;
constexpr std::uint64_t kMaxLevels = 8;

class BitmapReader {
  public:
    BitmapReader(const KernelMemory& memory, std::string name)
        : memory_(memory), name_(std::move(name)), word_(memory.word_size()) {}

    Result<MemoryBitmap> read(Gva address) {
        const Result<std::vector<Gva>> zones = list(address, kMaxExtents, "zones");
        if (!zones) {
            return zones.error();
        }
        for (const Gva zone : *zones) {
            const Status status = tree(zone);
            if (!status) {
                return status.error();
            }
        }
        const Status status = chain(address);
        if (!status) {
            return status.error();
        }
        return std::move(out_);
    }

  private:
    // Entries of a struct list_head, without the head.
    Result<std::vector<Gva>> list(Gva head, std::uint64_t limit, const char* what) {
        std::vector<Gva> entries;
        std::uint64_t previous = head.raw;
        for (;;) {
            const Result<std::uint64_t> next = memory_.word(Gva{previous});
            if (!next) {
                return Error{place(what), next.error().message()};
            }
            const Result<std::uint64_t> back = memory_.word(Gva{*next + word_});
            if (!back) {
                return Error{place(what), back.error().message()};
            }
            if (*back != previous) {
                return Error{place(what), "entry at " + hex(*next) + " says that " + hex(*back) +
                                              " is before it, but " + hex(previous) + " is"};
            }
            if (*next == head.raw) {
                return entries;
            }
            if (entries.size() == limit) {
                return Error{place(what), "list has more than " + std::to_string(limit) +
                                              " entries: it runs in a circle or is overwritten"};
            }
            entries.emplace_back(*next);
            previous = *next;
        }
    }

    Status tree(Gva zone) {
        std::array<std::uint64_t, 4> fields{};  // start_pfn, end_pfn, rtree, levels and blocks
        for (unsigned index = 0; index < fields.size(); ++index) {
            const Result<std::uint64_t> field =
                memory_.word(Gva{zone.raw + (6 + std::uint64_t{index}) * word_});
            if (!field) {
                return Error{place("zone"), field.error().message()};
            }
            fields[index] = *field;
        }
        const auto [start, end, root, unused] = fields;
        const Result<std::uint32_t> levels = memory_.u32(Gva{zone.raw + 9 * word_});
        const Result<std::uint32_t> blocks = memory_.u32(Gva{zone.raw + 9 * word_ + 4});
        if (!levels || !blocks) {
            return Error{place("zone"), "at " + hex(zone.raw) + ": not readable to its end"};
        }
        if (start >= end || end > memory_.ram().end_pfn().raw) {
            return Error{place("zone"), "covers frames " + hex(start) + " to " + hex(end) +
                                            ", this machine has RAM up to " +
                                            hex(memory_.ram().end_pfn().raw)};
        }
        // create_mem_extents() keeps zones sorted and apart; so do we, or one bit could count
        // often.
        if (!out_.extents.empty() && Pfn{start} < out_.extents.back().end) {
            return Error{place("zone"), "begins at frame " + hex(start) +
                                            ", inside or before the zone in front of it"};
        }
        const std::uint64_t needed = (end - start + kBitsPerBlock - 1) / kBitsPerBlock;
        if (*blocks != needed || *levels > kMaxLevels) {
            return Error{place("zone"), "has " + std::to_string(*blocks) + " blocks in " +
                                            std::to_string(*levels) + " levels, expected " +
                                            std::to_string(needed) + " blocks"};
        }
        out_.extents.push_back({Pfn{start}, Pfn{end}});
        return leaves(zone, root, *levels, needed);
    }

    Status leaves(Gva zone, std::uint64_t root, std::uint32_t levels, std::uint64_t blocks) {
        const Result<std::vector<Gva>> nodes =
            list(Gva{zone.raw + 2 * word_}, blocks + kMaxLevels, "inner nodes");
        if (!nodes) {
            return nodes.error();
        }
        for (const Gva node : *nodes) {
            const Result<std::uint64_t> data = own_page(node);
            if (!data) {
                return data.error();
            }
        }
        const Result<std::vector<Gva>> entries = list(Gva{zone.raw + 4 * word_}, blocks, "leaves");
        if (!entries) {
            return entries.error();
        }
        if (entries->size() != blocks) {
            return Error{place("leaves"), "list has " + std::to_string(entries->size()) +
                                              " entries, expected " + std::to_string(blocks)};
        }
        const BitmapExtent extent = out_.extents.back();
        for (std::uint64_t block = 0; block < blocks; ++block) {
            const Gva leaf = (*entries)[block];
            const Result<std::uint64_t> walked = walk(root, levels, block);
            if (!walked) {
                return walked.error();
            }
            if (*walked != leaf.raw) {
                return Error{place("tree"), "block " + std::to_string(block) + " is " +
                                                hex(*walked) + " in the tree and " + hex(leaf.raw) +
                                                " in the list"};
            }
            const Result<std::uint64_t> data = own_page(leaf);
            if (!data) {
                return data.error();
            }
            Status status = bits(*data, extent, block);
            if (!status) {
                return status;
            }
        }
        return success();
    }

    // memory_bm_find_bit(): from the root down, one index a level.
    Result<std::uint64_t> walk(std::uint64_t root, std::uint32_t levels, std::uint64_t block) {
        const unsigned shift = word_ == 8 ? 9 : 10;  // BM_RTREE_LEVEL_SHIFT
        std::uint64_t node = root;
        for (std::uint32_t level = levels; level > 0; --level) {
            const std::uint64_t index =
                block >> ((level - 1) * shift) & ((std::uint64_t{1} << shift) - 1);
            const Result<std::uint64_t> data = memory_.word(Gva{node + 2 * word_});
            const Result<std::uint64_t> next =
                data ? memory_.word(Gva{*data + index * word_}) : data;
            if (!next) {
                return Error{place("tree"), next.error().message()};
            }
            node = *next;
        }
        return node;
    }

    // The data page of a node; remembered as one of the bitmap's own frames.
    Result<std::uint64_t> own_page(Gva node) {
        const Result<std::uint64_t> data = memory_.word(Gva{node.raw + 2 * word_});
        if (!data) {
            return Error{place("node"), data.error().message()};
        }
        const Result<Gpa> gpa = memory_.physical(Gva{*data});
        if (!gpa) {
            return Error{place("node"), gpa.error().message()};
        }
        if (*data % kPageSize != 0 || !memory_.ram().has_frame(pfn_of(*gpa))) {
            return Error{place("node"), "data at " + hex(*data) + " is no page of RAM"};
        }
        out_.own_frames.push_back(pfn_of(*gpa).raw);
        return *data;
    }

    Status bits(std::uint64_t data, BitmapExtent extent, std::uint64_t block) {
        std::array<std::uint64_t, kPageSize / 8> words{};
        const Status status = memory_.read(Gva{data}, std::as_writable_bytes(std::span(words)));
        if (!status) {
            return Error{place("leaf"), status.error().message()};
        }
        const std::uint64_t first = extent.start.raw + block * kBitsPerBlock;
        for (std::uint64_t index = 0; index < words.size(); ++index) {
            for (std::uint64_t left = words[index]; left != 0; left &= left - 1) {
                const std::uint64_t pfn =
                    first + index * 64 + static_cast<unsigned>(std::countr_zero(left));
                if (pfn >= extent.end.raw) {
                    return Error{place("leaf"), "bit of frame " + hex(pfn) +
                                                    " is set, the zone ends at " +
                                                    hex(extent.end.raw)};
                }
                out_.pfns.push_back(pfn);
            }
        }
        return success();
    }

    // p_list: the pages that hold the zone and node structs, linked by their first word.
    Status chain(Gva address) {
        Result<std::uint64_t> page = memory_.word(Gva{address.raw + 2 * word_});
        const std::uint64_t limit = memory_.ram().frames();
        for (std::uint64_t count = 0; page && *page != 0; ++count) {
            const Result<Gpa> gpa = memory_.physical(Gva{*page});
            if (!gpa) {
                return Error{place("p_list"), gpa.error().message()};
            }
            if (count == limit) {
                return Error{place("p_list"), "is longer than RAM: it runs in a circle"};
            }
            out_.own_frames.push_back(pfn_of(*gpa).raw);
            page = memory_.word(Gva{*page});
        }
        if (!page) {
            return Error{place("p_list"), page.error().message()};
        }
        return success();
    }

    [[nodiscard]] std::string place(const char* what) const {
        return "memory bitmap " + name_ + ", " + what;
    }

    const KernelMemory& memory_;
    std::string name_;
    std::uint64_t word_;
    MemoryBitmap out_;
};

}  // namespace

bool MemoryBitmap::covers(Pfn pfn) const {
    for (const BitmapExtent& extent : extents) {
        if (pfn >= extent.start && pfn < extent.end) {
            return true;
        }
    }
    return false;
}

Result<MemoryBitmap> read_memory_bitmap(const KernelMemory& memory, Gva address,
                                        std::string_view name) {
    return BitmapReader(memory, std::string(name)).read(address);
}

}  // namespace jumpback::memory
