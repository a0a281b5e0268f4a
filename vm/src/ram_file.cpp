// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/ram_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "vm/byte_source.h"
#include "vm/text.h"

namespace jumpback {
namespace {

constexpr std::uint64_t kQ35SplitFrom = 0xb0000000;  // bytes of RAM from which q35 splits
constexpr std::uint64_t kQ35BelowSplit = 0x80000000;
constexpr std::uint64_t kFourGiB = 0x100000000;

std::string describe(const RamRegion& region) {
    return "region at " + hex(region.gpa.raw) + " (file offset " + hex(region.offset) + ", " +
           hex(region.length.raw) + " bytes)";
}

Status check_regions(const std::vector<RamRegion>& regions, std::uint64_t size,
                     const std::string& label) {
    if (regions.empty()) {
        return Error{label, "has no regions; expected at least one"};
    }
    for (const RamRegion& region : regions) {
        if (((region.gpa.raw | region.offset | region.length.raw) & (kPageSize - 1)) != 0 ||
            region.length.raw == 0) {
            return Error{label, describe(region) + " is empty or not page-aligned"};
        }
        if (region.offset > size || region.length.raw > size - region.offset) {
            return Error{label, describe(region) + " reaches beyond the end of the file (" +
                                    hex(size) + " bytes)"};
        }
        if (region.gpa.raw + region.length.raw < region.gpa.raw) {
            return Error{label, describe(region) + " wraps around the address space"};
        }
    }
    for (std::size_t i = 0; i < regions.size(); ++i) {
        for (std::size_t j = i + 1; j < regions.size(); ++j) {
            const RamRegion& a = regions[i];
            const RamRegion& b = regions[j];
            const bool in_gpa =
                a.gpa.raw < b.gpa.raw + b.length.raw && b.gpa.raw < a.gpa.raw + a.length.raw;
            const bool in_file =
                a.offset < b.offset + b.length.raw && b.offset < a.offset + a.length.raw;
            if (in_gpa || in_file) {
                return Error{label, describe(a) + " overlaps " + describe(b)};
            }
        }
    }
    return success();
}

}  // namespace

Result<std::vector<RamRegion>> q35_regions(Bytes total) {
    if (total.raw == 0 || (total.raw & (kPageSize - 1)) != 0) {
        return Error{"RAM size",
                     std::to_string(total.raw) + " bytes; expected a positive multiple of 4096"};
    }
    if (total.raw < kQ35SplitFrom) {
        return std::vector<RamRegion>{{Gpa{0}, 0, total}};
    }
    return std::vector<RamRegion>{
        {Gpa{0}, 0, Bytes{kQ35BelowSplit}},
        {Gpa{kFourGiB}, kQ35BelowSplit, Bytes{total.raw - kQ35BelowSplit}}};
}

Result<RamFile> RamFile::open(const std::string& path, std::vector<RamRegion> regions) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return Error{path, "RAM file cannot be opened: " + errno_text(errno)};
    }
    return adopt(std::move(fd), std::move(regions), path);
}

Result<RamFile> RamFile::adopt(UniqueFd fd, std::vector<RamRegion> regions, std::string label) {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return Error{label, "is not a regular file; expected guest RAM (memory-backend-file)"};
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (const Status checked = check_regions(regions, size, label); !checked) {
        return checked.error();
    }
    RamFile ram;
    ram.map_ = Mapping::of_file(fd.get(), static_cast<std::size_t>(size), false);
    if (!ram.map_.valid()) {
        return Error{label, "cannot be mapped: " + errno_text(errno)};
    }
    std::sort(regions.begin(), regions.end(),
              [](const RamRegion& a, const RamRegion& b) { return a.gpa < b.gpa; });
    ram.fd_ = std::move(fd);
    ram.regions_ = std::move(regions);
    ram.label_ = std::move(label);
    return ram;
}

std::optional<std::uint64_t> RamFile::offset_of(Gpa gpa) const {
    for (const RamRegion& region : regions_) {
        if (gpa.raw >= region.gpa.raw && gpa.raw - region.gpa.raw < region.length.raw) {
            return region.offset + (gpa.raw - region.gpa.raw);
        }
    }
    return std::nullopt;
}

std::optional<Gpa> RamFile::gpa_at(std::uint64_t offset) const {
    for (const RamRegion& region : regions_) {
        if (offset >= region.offset && offset - region.offset < region.length.raw) {
            return Gpa{region.gpa.raw + (offset - region.offset)};
        }
    }
    return std::nullopt;
}

Result<std::span<const std::byte>> RamFile::at(Gpa gpa, Bytes length) const {
    for (const RamRegion& region : regions_) {
        if (gpa.raw < region.gpa.raw || gpa.raw - region.gpa.raw >= region.length.raw) {
            continue;
        }
        const std::uint64_t skip = gpa.raw - region.gpa.raw;
        if (length.raw > region.length.raw - skip) {
            return Error{label_, hex(length.raw) + " bytes at guest physical " + hex(gpa.raw) +
                                     " reach beyond the " + describe(region)};
        }
        return bytes().subspan(static_cast<std::size_t>(region.offset + skip),
                               static_cast<std::size_t>(length.raw));
    }
    return Error{label_, "guest physical " + hex(gpa.raw) + " is not RAM"};
}

Result<std::vector<Extent>> RamFile::extents() const {
    return data_extents(fd_.get(), size(), label_);
}

Result<CaptureStats> RamFile::capture(const std::string& path) const {
    const auto start = std::chrono::steady_clock::now();
    const auto resident = extents();
    if (!resident) {
        return resident.error();
    }
    if (const Status status = write_sparse_file(path, bytes(), *resident); !status) {
        return status.error();
    }
    return CaptureStats{Bytes{total_length(*resident)}, std::chrono::steady_clock::now() - start};
}

Result<CaptureStats> RamFile::capture(int fd, const std::string& label) const {
    const auto start = std::chrono::steady_clock::now();
    const auto resident = extents();
    if (!resident) {
        return resident.error();
    }
    if (::ftruncate(fd, static_cast<off_t>(size())) != 0) {
        return Error{label, "capture cannot be given its size: " + errno_text(errno)};
    }
    if (const Status status = write_extents(fd, bytes(), *resident, label); !status) {
        return status.error();
    }
    return CaptureStats{Bytes{total_length(*resident)}, std::chrono::steady_clock::now() - start};
}

Status write_extents(int fd, std::span<const std::byte> from, const std::vector<Extent>& extents,
                     const std::string& label) {
    for (const Extent& extent : extents) {
        std::uint64_t at = extent.offset;
        while (at < extent.end()) {
            const ssize_t put =
                ::pwrite(fd, from.data() + at, static_cast<std::size_t>(extent.end() - at),
                         static_cast<off_t>(at));
            if (put < 0 && errno == EINTR) {
                continue;
            }
            if (put <= 0) {
                return Error{label, "writing " + std::to_string(total_length(extents)) +
                                        " bytes of captured RAM failed at offset " + hex(at) +
                                        ": " + errno_text(errno) +
                                        "; is there room in that file system?"};
            }
            at += static_cast<std::uint64_t>(put);
        }
    }
    return success();
}

Status write_sparse_file(const std::string& path, std::span<const std::byte> from,
                         const std::vector<Extent>& extents) {
    // Under another name first: a half-made capture never stands at `path`, and a RAM file survives
    // being named as its own capture.
    const std::string part = path + ".part";
    const UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return Error{part, "cannot be created: " + errno_text(errno)};
    }
    Status status = success();
    if (::ftruncate(fd.get(), static_cast<off_t>(from.size())) != 0) {
        status = Error{part, "cannot be given its size: " + errno_text(errno)};
    } else {
        status = write_extents(fd.get(), from, extents, part);
    }
    if (status && ::rename(part.c_str(), path.c_str()) != 0) {
        status = Error{path, "the finished file cannot be given this name: " + errno_text(errno)};
    }
    if (!status) {
        ::unlink(part.c_str());
    }
    return status;
}

}  // namespace jumpback
