// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guest RAM in a shared file: QEMU's memory-backend-file,share=on, or a memfd. The file is mapped
// read-only, so a tester cannot change what it tests.
//
// The file is sparse: a page the guest never touched is a hole. Reading a hole through a mapping of
// a tmpfs file makes the kernel allocate the page, so a reader that wants to leave RAM as it is
// (and be fast) walks extents() and takes everything else as zero.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/address.h"
#include "model/result.h"
#include "vm/extents.h"
#include "vm/mapping.h"
#include "vm/unique_fd.h"

namespace jumpback {

// Guest physical [gpa, gpa + length) is the file's [offset, offset + length).
struct RamRegion {
    Gpa gpa;
    std::uint64_t offset = 0;  // bytes
    Bytes length;
    bool operator==(const RamRegion&) const = default;
};

// How QEMU's q35 lays out `total` bytes of RAM (hw/i386/pc_q35.c, pc_q35_init): up to 0xb0000000
// all of it below 4 GiB, from there on 2 GiB below and the rest from 4 GiB on.
Result<std::vector<RamRegion>> q35_regions(Bytes total);

struct CaptureStats {
    Bytes copied;                         // resident bytes, the only ones copied
    std::chrono::nanoseconds elapsed{0};  // wall time of the whole capture
};

class RamFile {
  public:
    // Regions must be page-aligned, lie inside the file and not overlap, neither in guest physical
    // space nor in the file. They are sorted by guest physical address.
    static Result<RamFile> open(const std::string& path, std::vector<RamRegion> regions);
    // Takes over a descriptor, such as a memfd; `label` names it in errors.
    static Result<RamFile> adopt(UniqueFd fd, std::vector<RamRegion> regions, std::string label);

    [[nodiscard]] const std::string& label() const { return label_; }
    [[nodiscard]] const std::vector<RamRegion>& regions() const { return regions_; }
    [[nodiscard]] std::uint64_t size() const { return bytes().size(); }  // of the file, in bytes
    [[nodiscard]] std::span<const std::byte> bytes() const { return map_.bytes(); }

    [[nodiscard]] std::optional<std::uint64_t> offset_of(Gpa gpa) const;
    [[nodiscard]] std::optional<Gpa> gpa_at(std::uint64_t offset) const;
    // [gpa, gpa + length), which must lie inside one region.
    [[nodiscard]] Result<std::span<const std::byte>> at(Gpa gpa, Bytes length) const;

    // Resident parts of the file, by offset. A moment's view: a running guest touches more.
    [[nodiscard]] Result<std::vector<Extent>> extents() const;

    // Copies what is resident into a new file of the same size; holes stay holes. The guest must be
    // stopped. An existing file at `path` is replaced; after an error no file is left there.
    [[nodiscard]] Result<CaptureStats> capture(const std::string& path) const;
    // The same into an open, empty, writable descriptor (a memfd).
    [[nodiscard]] Result<CaptureStats> capture(int fd, const std::string& label) const;

  private:
    RamFile() = default;

    std::string label_;
    UniqueFd fd_;
    Mapping map_;
    std::vector<RamRegion> regions_;
};

// Writes the given extents of `from` to the same offsets of `fd`. New pages of a tmpfs file are
// filled fastest by pwrite: unlike a store through a mapping it costs no fault and no clearing.
// pwrite also reports a full file system, where a store would raise SIGBUS.
Status write_extents(int fd, std::span<const std::byte> from, const std::vector<Extent>& extents,
                     const std::string& label);
// Makes a file of from.size() bytes with those extents and holes elsewhere. It gets its name when
// it is complete, replacing what stood there; after an error nothing of it is left.
Status write_sparse_file(const std::string& path, std::span<const std::byte> from,
                         const std::vector<Extent>& extents);

}  // namespace jumpback
