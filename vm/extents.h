// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which parts of a sparse file hold data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/result.h"

namespace jumpback {

struct Extent {
    std::uint64_t offset = 0;  // bytes
    std::uint64_t length = 0;  // bytes, never 0
    [[nodiscard]] std::uint64_t end() const { return offset + length; }
    bool operator==(const Extent&) const = default;
};

// Data extents of a file of `size` bytes by SEEK_DATA and SEEK_HOLE, in order and not touching. A
// file system without holes gives one extent over the whole file. `label` names the file in errors.
Result<std::vector<Extent>> data_extents(int fd, std::uint64_t size, const std::string& label);

// The parts of `all` that are not in `taken`; both in order and not overlapping.
std::vector<Extent> subtract(const std::vector<Extent>& all, const std::vector<Extent>& taken);
// The parts that are in both.
std::vector<Extent> intersect(const std::vector<Extent>& a, const std::vector<Extent>& b);
std::uint64_t total_length(const std::vector<Extent>& extents);  // bytes

}  // namespace jumpback
