// SPDX-License-Identifier: GPL-2.0-or-later
//
// Bytes that are read by offset, from a file or from memory, with every read checked against the
// size. Files are read with pread and not mapped: a kernel that is built anew in place while we
// hold it then gives an error, where a mapping would give SIGBUS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/result.h"
#include "vm/unique_fd.h"

namespace jumpback {

class ByteSource {
  public:
    // Opens a regular file for reading.
    static Result<ByteSource> open(const std::string& path);
    // Views memory that must outlive the source; `label` names it in errors.
    static ByteSource over(std::span<const std::byte> memory, std::string label);

    [[nodiscard]] std::uint64_t size() const { return size_; }  // bytes
    [[nodiscard]] const std::string& label() const { return label_; }
    [[nodiscard]] bool is_file() const { return fd_.valid(); }
    [[nodiscard]] int fd() const { return fd_.get(); }  // -1 when the bytes are in memory
    [[nodiscard]] std::span<const std::byte> memory() const { return memory_; }

    // True if [offset, offset + length) lies inside; never overflows.
    [[nodiscard]] bool contains(std::uint64_t offset, std::uint64_t length) const {
        return offset <= size_ && length <= size_ - offset;
    }
    // Fills `out` from `offset` or fails; `what` says in the error what was to be read.
    Status read_at(std::uint64_t offset, std::span<std::byte> out, const std::string& what) const;
    Result<std::vector<std::byte>> read(std::uint64_t offset, std::uint64_t length,
                                        const std::string& what) const;

  private:
    std::string label_;
    UniqueFd fd_;
    std::span<const std::byte> memory_;
    std::uint64_t size_ = 0;
};

// "Permission denied" and the like, for an errno value.
std::string errno_text(int error);

}  // namespace jumpback
