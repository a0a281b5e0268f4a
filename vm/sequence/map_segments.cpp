// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/sequence/map_segments.h"

#include <unicorn/unicorn.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace jumpback::sequence {
namespace {

std::uint64_t page_down(std::uint64_t address) { return address & ~(kPageSize - 1); }
std::uint64_t page_up(std::uint64_t address) { return page_down(address + kPageSize - 1); }

// The pages of all segments, merged where they touch.
std::map<std::uint64_t, std::uint64_t> page_ranges(const Vmlinux& kernel) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> raw;
    for (const Segment& segment : kernel.segments()) {
        if (segment.memory_size.raw != 0) {
            raw.emplace_back(page_down(segment.virt.raw),
                             page_up(segment.virt.raw + segment.memory_size.raw));
        }
    }
    std::sort(raw.begin(), raw.end());
    std::map<std::uint64_t, std::uint64_t> merged;
    for (const auto& [start, end] : raw) {
        if (!merged.empty() && start <= merged.rbegin()->second) {
            merged.rbegin()->second = std::max(merged.rbegin()->second, end);
        } else {
            merged.emplace(start, end);
        }
    }
    return merged;
}

// The most memory that a kernel image may take here: one of 1 GiB is no kernel.
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 30;

}  // namespace

Status map_segments(uc_engine* uc, const Vmlinux& kernel, std::uint64_t last) {
    std::uint64_t total = 0;
    for (const Segment& segment : kernel.segments()) {
        if (segment.memory_size.raw > kMostMemory || segment.virt.raw > last - kPageSize ||
            segment.memory_size.raw > last - kPageSize - segment.virt.raw) {
            return Error{kernel.path(), "a segment of " + std::to_string(segment.memory_size.raw) +
                                            " bytes does not fit into the address space"};
        }
        total += segment.memory_size.raw;
    }
    if (total > kMostMemory) {
        return Error{kernel.path(), "its segments take " + std::to_string(total) +
                                        " bytes of memory: no kernel does"};
    }
    for (const auto& [start, end] : page_ranges(kernel)) {
        if (uc_mem_map(uc, start, end - start, UC_PROT_ALL) != UC_ERR_OK) {
            return Error{kernel.path(), "its segments cannot be mapped"};
        }
    }
    for (const Segment& segment : kernel.segments()) {
        if (segment.file_size.raw == 0 || segment.virt.raw == 0) {
            continue;  // the zero-based per-CPU template: its variables are left zero
        }
        const auto bytes = kernel.read(segment.virt, segment.file_size);
        if (!bytes) {
            return bytes.error();
        }
        if (uc_mem_write(uc, segment.virt.raw, bytes->data(), bytes->size()) != UC_ERR_OK) {
            return Error{kernel.path(), "its segments cannot be filled"};
        }
    }
    return success();
}

}  // namespace jumpback::sequence
