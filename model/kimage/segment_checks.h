// SPDX-License-Identifier: GPL-2.0-or-later
//
// The checks that kexec_load makes before it allocates anything, in the kernel's order, each with
// what the call returns: kexec_load_check(), the system call itself, do_kexec_load(),
// kimage_alloc_init() and sanity_check_segment_list().
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/kimage/load_rules.h"
#include "model/kimage/segment.h"

namespace jumpback::kimage {

// The check that ended the call, or kNone.
enum class Check : std::uint8_t {
    kNone,
    kPermission,          // CAP_SYS_BOOT, kexec_load_disabled
    kLoadLimit,           // kexec_load_limit_{reboot,panic} is used up
    kSecurityModule,      // security_kernel_load_data()
    kLockdown,            // LOCKDOWN_KEXEC
    kFlags,               // unknown flag
    kSegmentCount,        // KEXEC_SEGMENT_MAX
    kArchitecture,        //
    kSegmentsUnreadable,  // the list of segments, not their buffers
    kLocked,              // kexec_trylock()
    kCrashEntry,          // entry outside the crash kernel's region
    kWraps,               // mem + memsz
    kAlignment,
    kDestinationLimit,
    kOverlap,
    kBufferLarger,  // bufsz > memsz
    kSegmentPages,  // one segment beyond half of RAM
    kTotalPages,    // all of them
    kCrashRegion,   // segment outside the crash kernel's region
    // Those that only check_whole_call() makes (whole_call.h):
    kNoControlPage,     // every frame is a destination
    kBufferUnreadable,  // a segment's buffer, where its bytes are copied
};
std::string_view name_of(Check check);

struct CrashRegion {
    Gpa start, last;  // crashk_res: both inclusive; both 0: nothing was reserved
};

// The state of the kernel at the call.
struct LoadConditions {
    bool may_load = true;                     // CAP_SYS_BOOT, and not kexec_load_disabled
    std::optional<std::uint64_t> load_limit;  // of this type of image; none: unlimited
    int security_error = 0;                   // positive errno of the security module, 0: none
    bool locked_down = false;
    bool segments_readable = true;
    bool locked = false;  // another kexec call holds the lock
    std::uint64_t totalram_pages = 0;
    CrashRegion crash;
};

struct LoadCall {
    std::uint64_t entry = 0;
    std::uint64_t flags = 0;
    std::span<const Segment> segments;
    bool compat = false;  // the 32-bit call on a 64-bit kernel
};

struct LoadVerdict {
    std::int64_t result = 0;  // what the call returns: 0, -errno, or for one bug a positive number
    Check check = Check::kNone;
    std::optional<std::size_t> segment;  // the guilty one
    std::optional<std::size_t> other;    // the earlier one that it overlaps
    std::string text;                    // empty if nothing failed
    bool unloads = false;                // no segments: the image of this type is unloaded
    bool uses_load_limit = false;        // one of kexec_load_limit_* is spent, even if it failed

    [[nodiscard]] bool ok() const { return check == Check::kNone; }
};

LoadVerdict check_load(const LoadRules& rules, const KernelSetup& setup,
                       const LoadConditions& conditions, const LoadCall& call);

// Everything before sanity_check_segment_list().
LoadVerdict check_call(const LoadRules& rules, const KernelSetup& setup,
                       const LoadConditions& conditions, const LoadCall& call);

// sanity_check_segment_list() alone. `crash`: given for crash images only.
LoadVerdict check_segments(const LoadRules& rules, const KernelSetup& setup,
                           std::uint64_t totalram_pages, std::span<const Segment> segments,
                           const CrashRegion* crash = nullptr);

// Its parts, which a staged load makes one by one: 1 to 3, 4, 5.
LoadVerdict check_addresses(const LoadRules& rules, const KernelSetup& setup,
                            std::span<const Segment> segments);
LoadVerdict check_overlaps(const LoadRules& rules, std::span<const Segment> segments);
LoadVerdict check_buffers(std::span<const Segment> segments);

// "EINVAL" for 22 and so on; the number as text for one not used here.
std::string errno_name(int error);

}  // namespace jumpback::kimage
