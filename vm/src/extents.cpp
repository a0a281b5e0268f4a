// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/extents.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "vm/byte_source.h"

namespace jumpback {

Result<std::vector<Extent>> data_extents(int fd, std::uint64_t size, const std::string& label) {
    std::vector<Extent> extents;
    std::uint64_t at = 0;
    while (at < size) {
        const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
            break;  // only a hole up to the end
        }
        const off_t hole = data < 0 ? data : ::lseek(fd, data, SEEK_HOLE);
        if (hole < 0) {
            return Error{label, "its holes cannot be found: " + errno_text(errno)};
        }
        const auto start = static_cast<std::uint64_t>(data);
        const std::uint64_t end = std::min(static_cast<std::uint64_t>(hole), size);
        if (start >= end) {
            break;
        }
        extents.push_back({start, end - start});
        at = end;
    }
    return extents;
}

std::vector<Extent> subtract(const std::vector<Extent>& all, const std::vector<Extent>& taken) {
    std::vector<Extent> rest;
    auto hole = taken.begin();
    for (const Extent& extent : all) {
        std::uint64_t at = extent.offset;
        while (hole != taken.end() && hole->end() <= at) {
            ++hole;
        }
        // A taken extent may reach into the next one of `all`, so `hole` itself stays.
        for (auto cut = hole; cut != taken.end() && cut->offset < extent.end(); ++cut) {
            if (cut->offset > at) {
                rest.push_back({at, cut->offset - at});
            }
            at = std::max(at, std::min(cut->end(), extent.end()));
        }
        if (at < extent.end()) {
            rest.push_back({at, extent.end() - at});
        }
    }
    return rest;
}

std::vector<Extent> intersect(const std::vector<Extent>& a, const std::vector<Extent>& b) {
    std::vector<Extent> both;
    auto left = a.begin();
    auto right = b.begin();
    while (left != a.end() && right != b.end()) {
        const std::uint64_t start = std::max(left->offset, right->offset);
        const std::uint64_t end = std::min(left->end(), right->end());
        if (start < end) {
            both.push_back({start, end - start});
        }
        if (left->end() < right->end()) {
            ++left;
        } else {
            ++right;
        }
    }
    return both;
}

std::uint64_t total_length(const std::vector<Extent>& extents) {
    std::uint64_t sum = 0;
    for (const Extent& extent : extents) {
        sum += extent.length;
    }
    return sum;
}

}  // namespace jumpback
