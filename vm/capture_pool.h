// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reusable files for captures of guest RAM. A slot's pages are allocated and mapped before they are
// needed, so that a capture is a plain memory copy: allocating and clearing pages costs three to
// seven times as much as copying them (vm/bench/capture_bench.cpp).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/address.h"
#include "model/result.h"
#include "vm/extents.h"
#include "vm/ram_file.h"

namespace jumpback {

namespace capture_pool_detail {
struct Slot;
struct State;
}  // namespace capture_pool_detail

// One capture. Goes back into its pool when destroyed or released, unless it was detached.
class Capture {
  public:
    Capture(Capture&&) noexcept;
    Capture& operator=(Capture&&) noexcept;
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    ~Capture();

    [[nodiscard]] const std::string& path() const { return path_; }
    // Same offsets as the RAM file. Holes read as zero, but reading them allocates: see ram_file.h.
    [[nodiscard]] std::span<const std::byte> bytes() const;
    [[nodiscard]] const std::vector<Extent>& extents() const { return extents_; }
    [[nodiscard]] const CaptureStats& stats() const { return stats_; }
    [[nodiscard]] bool held() const { return slot_ != nullptr; }  // false after release()

    // Keeps the capture as the file `path`: renamed out of the pool, or copied (holes kept) when
    // `path` is on another file system; the slot is then held until the capture is released.
    Status detach(const std::string& path);
    // Gives the slot back to the pool; the bytes must not be used any more.
    void release();

  private:
    friend class CapturePool;
    Capture(std::shared_ptr<capture_pool_detail::State> pool,
            std::unique_ptr<capture_pool_detail::Slot> slot);

    std::shared_ptr<capture_pool_detail::State> pool_;
    std::unique_ptr<capture_pool_detail::Slot> slot_;
    std::string path_;
    bool detached_ = false;
    std::vector<Extent> extents_;
    CaptureStats stats_;
};

class CapturePool {
  public:
    // Slots become files of `size` bytes in `folder`, which must exist and should be a tmpfs; at
    // most `slots` exist at once, detached captures not counted. Files are removed with the pool
    // and its last capture; after a crash, by removing the folder.
    static Result<CapturePool> create(std::string folder, Bytes size, unsigned slots);

    // Makes one free slot ready for what is resident in `ram` now, about 0.4 ms a MiB the first
    // time. To be called while there is time, e.g. while the guest boots; calling it again is
    // cheap.
    Status prepare(const RamFile& ram);
    // Copies what is resident in `ram`; holes stay holes. The guest must be stopped. Works without
    // prepare(), only slower. Error when all slots hold captures.
    Result<Capture> capture(const RamFile& ram);

    [[nodiscard]] unsigned in_use() const;  // slots that hold a capture
    [[nodiscard]] unsigned free() const;    // slots made and waiting
    [[nodiscard]] unsigned limit() const;

  private:
    explicit CapturePool(std::shared_ptr<capture_pool_detail::State> state);
    std::shared_ptr<capture_pool_detail::State> state_;
};

}  // namespace jumpback
