// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm/capture_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <optional>
#include <utility>

#include "vm/byte_source.h"
#include "vm/copy_extents.h"

namespace jumpback {
namespace capture_pool_detail {

struct Slot {
    std::string path;  // removed with the slot; empty once the file belongs to someone else
    UniqueFd fd;
    Mapping map;
    // What the file holds, when that is certain: a reader of a capture may have filled holes, so it
    // is forgotten with each capture and asked again by prepare(), outside the hot path.
    std::optional<std::vector<Extent>> resident;

    Slot() = default;
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    Slot(Slot&&) = delete;
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
        if (!path.empty()) {
            ::unlink(path.c_str());
        }
    }
};

struct State {
    std::string folder;
    Bytes size;
    unsigned limit = 0;
    std::mutex mutex;  // guards what follows
    std::vector<std::unique_ptr<Slot>> free;
    unsigned in_use = 0;
    unsigned made = 0;  // for file names
};

namespace {

// Maps pages now that a copy would otherwise have to fault in. Advice only: a kernel before 5.14
// does not know it, and then the copy is slower but right.
void populate(const std::byte* base, const std::vector<Extent>& extents, int advice) {
    for (const Extent& extent : extents) {
        auto* start = const_cast<std::byte*>(base) + extent.offset;
        (void)::madvise(start, static_cast<std::size_t>(extent.length), advice);
    }
}

Result<std::unique_ptr<Slot>> make_slot(State& state, unsigned number) {
    auto slot = std::make_unique<Slot>();
    const std::string path = state.folder + "/slot-" + std::to_string(::getpid()) + "-" +
                             std::to_string(number) + ".ram";
    slot->fd.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!slot->fd.valid()) {
        return Error{path, "capture slot cannot be created: " + errno_text(errno)};
    }
    slot->path = path;
    slot->resident.emplace();
    if (::ftruncate(slot->fd.get(), static_cast<off_t>(state.size.raw)) != 0) {
        return Error{path, "capture slot cannot be given " + std::to_string(state.size.raw) +
                               " bytes: " + errno_text(errno)};
    }
    slot->map = Mapping::of_file(slot->fd.get(), static_cast<std::size_t>(state.size.raw), true);
    if (!slot->map.valid()) {
        return Error{path, "capture slot cannot be mapped: " + errno_text(errno)};
    }
    return slot;
}

// Takes a free slot or makes one, within the limit.
Result<std::unique_ptr<Slot>> take_slot(State& state) {
    const std::lock_guard lock(state.mutex);
    if (!state.free.empty()) {
        auto slot = std::move(state.free.back());
        state.free.pop_back();
        ++state.in_use;
        return slot;
    }
    if (state.in_use >= state.limit) {
        return Error{state.folder, "all " + std::to_string(state.limit) +
                                       " capture slots hold captures; release or detach one"};
    }
    auto slot = make_slot(state, state.made++);
    if (slot) {
        ++state.in_use;
    }
    return slot;
}

void give_back(State& state, std::unique_ptr<Slot> slot) {
    const std::lock_guard lock(state.mutex);
    --state.in_use;
    state.free.push_back(std::move(slot));
}

Status punch(const Slot& slot, const std::vector<Extent>& extents) {
    for (const Extent& extent : extents) {
        if (::fallocate(slot.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        static_cast<off_t>(extent.offset),
                        static_cast<off_t>(extent.length)) != 0) {
            return Error{slot.path,
                         "old pages of a capture slot cannot be removed: " + errno_text(errno)};
        }
    }
    return success();
}

Status check_size(const State& state, const RamFile& ram) {
    if (ram.size() != state.size.raw) {
        return Error{ram.label(), "has " + std::to_string(ram.size()) +
                                      " bytes; this pool was made for " +
                                      std::to_string(state.size.raw)};
    }
    return success();
}

// Asks the file system what the slot holds unless that is known.
Status know_resident(Slot& slot, std::uint64_t size) {
    if (slot.resident) {
        return success();
    }
    auto found = data_extents(slot.fd.get(), size, slot.path);
    if (!found) {
        return found.error();
    }
    slot.resident = std::move(found).value();
    return success();
}

// Makes the slot's resident pages exactly those of `wanted`, allocated and mapped.
Status warm_up(Slot& slot, const std::vector<Extent>& wanted, std::uint64_t size) {
    if (const Status status = know_resident(slot, size); !status) {
        return status.error();
    }
    const std::vector<Extent> resident = *std::exchange(slot.resident, std::nullopt);
    if (const Status status = punch(slot, subtract(resident, wanted)); !status) {
        return status.error();
    }
    // fallocate says when there is no room; a store through the mapping would raise SIGBUS.
    for (const Extent& extent : subtract(wanted, resident)) {
        if (::fallocate(slot.fd.get(), 0, static_cast<off_t>(extent.offset),
                        static_cast<off_t>(extent.length)) != 0) {
            return Error{slot.path, "no room for " + std::to_string(total_length(wanted)) +
                                        " bytes of captured RAM: " + errno_text(errno)};
        }
    }
    populate(slot.map.data(), wanted, MADV_POPULATE_WRITE);
    slot.resident = wanted;
    return success();
}

// Copies what is resident in `ram` into the slot and leaves nothing of an older capture there.
Result<std::vector<Extent>> fill(Slot& slot, const RamFile& ram) {
    auto wanted = ram.extents();
    if (!wanted) {
        return wanted.error();
    }
    if (const Status status = know_resident(slot, ram.size()); !status) {
        return status.error();
    }
    const std::vector<Extent> resident = *std::exchange(slot.resident, std::nullopt);
    if (const Status status = punch(slot, subtract(resident, *wanted)); !status) {
        return status.error();
    }
    copy_extents(slot.map.data(), ram.bytes(), intersect(*wanted, resident));
    const auto fresh = subtract(*wanted, resident);
    if (const Status status = write_extents(slot.fd.get(), ram.bytes(), fresh, slot.path);
        !status) {
        return status.error();
    }
    return wanted;
}

}  // namespace
}  // namespace capture_pool_detail

using capture_pool_detail::Slot;
using capture_pool_detail::State;

Capture::Capture(std::shared_ptr<State> pool, std::unique_ptr<Slot> slot)
    : pool_(std::move(pool)), slot_(std::move(slot)), path_(slot_->path) {}
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&& other) noexcept {
    if (this != &other) {
        release();
        pool_ = std::move(other.pool_);
        slot_ = std::move(other.slot_);
        path_ = std::move(other.path_);
        detached_ = other.detached_;
        extents_ = std::move(other.extents_);
        stats_ = other.stats_;
    }
    return *this;
}
Capture::~Capture() { release(); }

std::span<const std::byte> Capture::bytes() const {
    return slot_ ? slot_->map.bytes() : std::span<const std::byte>{};
}

void Capture::release() {
    if (slot_ && slot_->path.empty()) {
        slot_.reset();  // renamed out of the pool: only the mapping is left
    } else if (slot_) {
        capture_pool_detail::give_back(*pool_, std::move(slot_));
    }
}

Status Capture::detach(const std::string& path) {
    if (!slot_ || detached_) {
        return Error{path, "this capture was released or detached before"};
    }
    if (::rename(slot_->path.c_str(), path.c_str()) == 0) {
        slot_->path.clear();
        const std::lock_guard lock(pool_->mutex);
        --pool_->in_use;
    } else if (errno != EXDEV) {
        return Error{path, "capture " + slot_->path +
                               " cannot be kept under this name: " + errno_text(errno)};
    } else if (const Status status = write_sparse_file(path, bytes(), extents_); !status) {
        return status.error();
    }
    path_ = path;
    detached_ = true;
    return success();
}

CapturePool::CapturePool(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<CapturePool> CapturePool::create(std::string folder, Bytes size, unsigned slots) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
        return Error{folder, "is not a folder; a capture pool needs an existing one, on a tmpfs"};
    }
    if (size.raw == 0 || (size.raw & (kPageSize - 1)) != 0 || slots == 0) {
        return Error{folder,
                     "a capture pool needs a size in whole pages and at least one slot; "
                     "got " +
                         std::to_string(size.raw) + " bytes and " + std::to_string(slots) +
                         " slots"};
    }
    auto state = std::make_shared<State>();
    state->folder = std::move(folder);
    state->size = size;
    state->limit = slots;
    return CapturePool(std::move(state));
}

Status CapturePool::prepare(const RamFile& ram) {
    if (const Status status = capture_pool_detail::check_size(*state_, ram); !status) {
        return status.error();
    }
    const auto wanted = ram.extents();
    if (!wanted) {
        return wanted.error();
    }
    auto slot = capture_pool_detail::take_slot(*state_);
    if (!slot) {
        return slot.error();
    }
    Status warmed = capture_pool_detail::warm_up(*slot.value(), *wanted, state_->size.raw);
    capture_pool_detail::give_back(*state_, std::move(slot).value());
    if (warmed) {
        capture_pool_detail::populate(ram.bytes().data(), *wanted, MADV_POPULATE_READ);
    }
    return warmed;
}

Result<Capture> CapturePool::capture(const RamFile& ram) {
    const auto start = std::chrono::steady_clock::now();
    if (const Status status = capture_pool_detail::check_size(*state_, ram); !status) {
        return status.error();
    }
    auto slot = capture_pool_detail::take_slot(*state_);
    if (!slot) {
        return slot.error();
    }
    Capture capture(state_, std::move(slot).value());  // gives the slot back if filling fails
    auto extents = capture_pool_detail::fill(*capture.slot_, ram);
    if (!extents) {
        return extents.error();
    }
    capture.extents_ = std::move(extents).value();
    capture.stats_ = {Bytes{total_length(capture.extents_)},
                      std::chrono::steady_clock::now() - start};
    return capture;
}

unsigned CapturePool::in_use() const {
    const std::lock_guard lock(state_->mutex);
    return state_->in_use;
}
unsigned CapturePool::free() const {
    const std::lock_guard lock(state_->mutex);
    return static_cast<unsigned>(state_->free.size());
}
unsigned CapturePool::limit() const { return state_->limit; }

}  // namespace jumpback
