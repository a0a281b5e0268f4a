// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace jumpback {

std::string errno_text(int error) { return std::generic_category().message(error); }

Result<ByteSource> ByteSource::open(const std::string& path) {
    ByteSource source;
    source.label_ = path;
    source.fd_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!source.fd_.valid()) {
        return Error{path, "cannot be opened for reading: " + errno_text(errno)};
    }
    struct stat status {};
    if (::fstat(source.fd_.get(), &status) != 0) {
        return Error{path, "its size cannot be read: " + errno_text(errno)};
    }
    if (!S_ISREG(status.st_mode)) {
        return Error{path, "is not a regular file"};
    }
    source.size_ = static_cast<std::uint64_t>(status.st_size);
    return source;
}

ByteSource ByteSource::over(std::span<const std::byte> memory, std::string label) {
    ByteSource source;
    source.label_ = std::move(label);
    source.memory_ = memory;
    source.size_ = memory.size();
    return source;
}

Status ByteSource::read_at(std::uint64_t offset, std::span<std::byte> out,
                           const std::string& what) const {
    if (!contains(offset, out.size())) {
        return Error{label_, what + " (" + std::to_string(out.size()) + " bytes at offset " +
                                 std::to_string(offset) + ") reaches beyond the end of the file (" +
                                 std::to_string(size_) + " bytes): truncated or damaged"};
    }
    if (!is_file()) {
        if (!out.empty()) {
            std::memcpy(out.data(), memory_.data() + offset, out.size());
        }
        return success();
    }
    std::size_t done = 0;
    while (done < out.size()) {
        const ssize_t got = ::pread(fd_.get(), out.data() + done, out.size() - done,
                                    static_cast<off_t>(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return Error{label_, "reading " + what + " failed: " + errno_text(errno)};
        }
        if (got == 0) {
            return Error{label_, "ended while reading " + what + ": the file changed meanwhile"};
        }
        done += static_cast<std::size_t>(got);
    }
    return success();
}

Result<std::vector<std::byte>> ByteSource::read(std::uint64_t offset, std::uint64_t length,
                                                const std::string& what) const {
    // Before allocating: a hostile length must not cost memory.
    if (!contains(offset, length)) {
        return Error{label_, what + " (" + std::to_string(length) + " bytes at offset " +
                                 std::to_string(offset) + ") reaches beyond the end of the file (" +
                                 std::to_string(size_) + " bytes): truncated or damaged"};
    }
    std::vector<std::byte> bytes(static_cast<std::size_t>(length));
    if (const Status status = read_at(offset, bytes, what); !status) {
        return status.error();
    }
    return bytes;
}

}  // namespace jumpback
