// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/segment_checks.h"

#include <cerrno>

#include "model/kimage/kexec_flags.h"
#include "model/memory/text.h"

namespace jumpback::kimage {
namespace {

using memory::count_of;
using memory::hex;

// sizeof(struct compat_kexec_segment): what copy_from_user() leaves of an unreadable one
constexpr std::int64_t kCompatSegmentBytes = 16;

LoadVerdict fails(int error, Check check, std::string text) {
    LoadVerdict verdict;
    verdict.result = -error;
    verdict.check = check;
    verdict.text = std::move(text);
    return verdict;
}

LoadVerdict fails(int error, Check check, std::size_t segment, const std::string& what) {
    LoadVerdict verdict = fails(error, check, "segment " + std::to_string(segment) + " " + what);
    verdict.segment = segment;
    return verdict;
}

std::string place_of(const Segment& segment) {
    return "[" + hex(segment.mem.raw) + ", " + hex(segment.end()) + ")";
}

// kexec_load_check()
LoadVerdict check_permission(const LoadRules& rules, const KernelSetup& setup,
                             const LoadConditions& conditions, const LoadCall& call) {
    if (!conditions.may_load) {
        return fails(EPERM, Check::kPermission,
                     "no CAP_SYS_BOOT, or kernel.kexec_load_disabled is set");
    }
    if (rules.load_limits && conditions.load_limit == 0) {
        return fails(EPERM, Check::kLoadLimit, "kernel.kexec_load_limit_* is used up");
    }
    if (conditions.security_error != 0) {
        return fails(conditions.security_error, Check::kSecurityModule,
                     "a security module refuses");
    }
    if (conditions.locked_down) {
        return fails(EPERM, Check::kLockdown, "the kernel is locked down");
    }
    // KEXEC_ARCH_MASK is a 32-bit constant, so its complement has no bits above 31: flags from bit
    // 32 on are never looked at.
    const std::uint64_t known = rules.flags | (setup.kexec_jump ? kKexecPreserveContext : 0);
    const std::uint64_t given = call.flags & 0xffff;
    if ((given & known) != given) {
        return fails(EINVAL, Check::kFlags, "unknown flags " + hex(given & ~known));
    }
    const std::uint64_t crash_jump = kKexecOnCrash | kKexecPreserveContext;
    if (rules.refuses_crash_jump && (given & crash_jump) == crash_jump) {
        return fails(EINVAL, Check::kFlags, "a crash image cannot come back");
    }
    if (call.segments.size() > rules.segment_max) {
        return fails(EINVAL, Check::kSegmentCount,
                     count_of(call.segments.size(), "segment") + ", at most " +
                         std::to_string(rules.segment_max) + " are taken");
    }
    return {};
}

LoadVerdict check_architecture(const LoadRules& rules, const LoadCall& call) {
    const std::uint64_t bits = call.flags & kKexecArchMask;
    if (call.compat) {
        // Any architecture will do, as long as it is named.
        if (bits == kKexecArchDefault) {
            return fails(EINVAL, Check::kArchitecture, "a compat call must name an architecture");
        }
        return {};
    }
    if (bits != rules.native_arch_bits && bits != kKexecArchDefault) {
        return fails(EINVAL, Check::kArchitecture,
                     "architecture bits " + hex(bits) + " are neither 0 nor this kernel's " +
                         hex(rules.native_arch_bits));
    }
    return {};
}

LoadVerdict check_readable(const LoadRules& rules, const LoadConditions& conditions,
                           const LoadCall& call) {
    if (conditions.segments_readable || call.segments.empty()) {
        return {};
    }
    LoadVerdict verdict =
        fails(EFAULT, Check::kSegmentsUnreadable, "the list of segments cannot be read");
    if (call.compat && rules.compat_returns_bytes_left) {
        verdict.result = kCompatSegmentBytes;
    }
    return verdict;
}

LoadVerdict check_crash_entry(const CrashRegion& crash, const LoadCall& call) {
    if (call.entry < crash.start.raw || call.entry > crash.last.raw) {
        return fails(EADDRNOTAVAIL, Check::kCrashEntry,
                     "entry " + hex(call.entry) + " is outside the crash kernel's region [" +
                         hex(crash.start.raw) + ", " + hex(crash.last.raw) + "]");
    }
    return {};
}

LoadVerdict check_sizes(std::uint64_t totalram_pages, std::span<const Segment> segments) {
    const std::uint64_t half = totalram_pages / 2;
    const std::string limit = ", more than half of RAM's " + count_of(totalram_pages, "page");
    std::uint64_t total = 0;
    for (std::size_t at = 0; at < segments.size(); ++at) {
        if (segments[at].pages() > half) {
            return fails(EINVAL, Check::kSegmentPages, at,
                         "has " + count_of(segments[at].pages(), "page") + limit);
        }
        total += segments[at].pages();
    }
    if (total > half) {
        return fails(EINVAL, Check::kTotalPages,
                     "all segments have " + count_of(total, "page") + limit);
    }
    return {};
}

LoadVerdict check_crash_region(const LoadRules& rules, const CrashRegion& crash,
                               std::span<const Segment> segments) {
    for (std::size_t at = 0; at < segments.size(); ++at) {
        // A length of 0 at address 0 gives ULONG_MAX.
        const std::uint64_t last = (segments[at].end() - 1) & rules.word_max();
        if (segments[at].mem < crash.start || last > crash.last.raw) {
            return fails(EADDRNOTAVAIL, Check::kCrashRegion, at,
                         place_of(segments[at]) + " is outside the crash kernel's region [" +
                             hex(crash.start.raw) + ", " + hex(crash.last.raw) + "]");
        }
    }
    return {};
}

bool is_crash(const LoadRules& rules, const KernelSetup& setup, const LoadCall& call) {
    return (call.flags & kKexecOnCrash) != 0 && (setup.crash_dump || !rules.crash_dump_optional);
}

// do_kexec_load() and kimage_alloc_init() up to sanity_check_segment_list()
LoadVerdict check_state(const LoadRules& rules, const LoadConditions& conditions,
                        const LoadCall& call, bool crash) {
    const bool copied_early = rules.copies_before_lock || call.compat;
    if (copied_early) {
        if (LoadVerdict verdict = check_readable(rules, conditions, call); !verdict.ok()) {
            return verdict;
        }
    }
    if (conditions.locked) {
        return fails(EBUSY, Check::kLocked, "another kexec call is under way");
    }
    if (call.segments.empty()) {
        LoadVerdict verdict;
        verdict.unloads = true;
        return verdict;
    }
    if (crash) {
        if (LoadVerdict verdict = check_crash_entry(conditions.crash, call); !verdict.ok()) {
            return verdict;
        }
    }
    return copied_early ? LoadVerdict{} : check_readable(rules, conditions, call);
}

}  // namespace

LoadVerdict check_addresses(const LoadRules& rules, const KernelSetup& setup,
                            std::span<const Segment> segments) {
    const std::uint64_t limit = rules.destination_limit(setup);
    for (std::size_t at = 0; at < segments.size(); ++at) {
        const std::uint64_t start = segments[at].mem.raw;
        const std::uint64_t end = segments[at].end() & rules.word_max();
        if (start > end) {
            return fails(EADDRNOTAVAIL, Check::kWraps, at,
                         "at " + hex(start) + " of " + hex(segments[at].memsz) +
                             " bytes ends after the address space");
        }
        if (start % kPageSize != 0 || end % kPageSize != 0) {
            return fails(EADDRNOTAVAIL, Check::kAlignment, at,
                         place_of(segments[at]) + " is not whole pages");
        }
        if (end >= limit) {
            return fails(EADDRNOTAVAIL, Check::kDestinationLimit, at,
                         place_of(segments[at]) + " reaches the limit " + hex(limit));
        }
    }
    return {};
}

LoadVerdict check_overlaps(const LoadRules& rules, std::span<const Segment> segments) {
    const auto end_of = [&](std::size_t at) { return segments[at].end() & rules.word_max(); };
    for (std::size_t at = 0; at < segments.size(); ++at) {
        for (std::size_t other = 0; other < at; ++other) {
            if (end_of(at) > segments[other].mem.raw && segments[at].mem.raw < end_of(other)) {
                LoadVerdict verdict =
                    fails(EINVAL, Check::kOverlap, at,
                          place_of(segments[at]) + " overlaps segment " + std::to_string(other) +
                              " " + place_of(segments[other]));
                verdict.other = other;
                return verdict;
            }
        }
    }
    return {};
}

LoadVerdict check_buffers(std::span<const Segment> segments) {
    for (std::size_t at = 0; at < segments.size(); ++at) {
        if (segments[at].bufsz > segments[at].memsz) {
            return fails(EINVAL, Check::kBufferLarger, at,
                         "has a buffer of " + hex(segments[at].bufsz) + " bytes for " +
                             hex(segments[at].memsz) + " of memory");
        }
    }
    return {};
}

LoadVerdict check_segments(const LoadRules& rules, const KernelSetup& setup,
                           std::uint64_t totalram_pages, std::span<const Segment> segments,
                           const CrashRegion* crash) {
    if (LoadVerdict verdict = check_addresses(rules, setup, segments); !verdict.ok()) {
        return verdict;
    }
    if (LoadVerdict verdict = check_overlaps(rules, segments); !verdict.ok()) {
        return verdict;
    }
    if (LoadVerdict verdict = check_buffers(segments); !verdict.ok()) {
        return verdict;
    }
    if (LoadVerdict verdict = check_sizes(totalram_pages, segments); !verdict.ok()) {
        return verdict;
    }
    return crash == nullptr ? LoadVerdict{} : check_crash_region(rules, *crash, segments);
}

LoadVerdict check_call(const LoadRules& rules, const KernelSetup& setup,
                       const LoadConditions& conditions, const LoadCall& call) {
    LoadVerdict verdict = check_permission(rules, setup, conditions, call);
    // kexec_load_permitted() counts down before any other check is made.
    const bool spends = rules.load_limits && conditions.load_limit.has_value() &&
                        verdict.check != Check::kPermission && verdict.check != Check::kLoadLimit;
    if (verdict.ok()) {
        verdict = check_architecture(rules, call);
    }
    if (verdict.ok()) {
        verdict = check_state(rules, conditions, call, is_crash(rules, setup, call));
    }
    verdict.uses_load_limit = spends;
    return verdict;
}

LoadVerdict check_load(const LoadRules& rules, const KernelSetup& setup,
                       const LoadConditions& conditions, const LoadCall& call) {
    LoadVerdict before = check_call(rules, setup, conditions, call);
    if (!before.ok() || before.unloads) {
        return before;
    }
    LoadVerdict verdict =
        check_segments(rules, setup, conditions.totalram_pages, call.segments,
                       is_crash(rules, setup, call) ? &conditions.crash : nullptr);
    verdict.uses_load_limit = before.uses_load_limit;
    return verdict;
}

std::string_view name_of(Check check) {
    switch (check) {
        case Check::kNone:
            return "none";
        case Check::kPermission:
            return "permission";
        case Check::kLoadLimit:
            return "load-limit";
        case Check::kSecurityModule:
            return "security-module";
        case Check::kLockdown:
            return "lockdown";
        case Check::kFlags:
            return "flags";
        case Check::kSegmentCount:
            return "segment-count";
        case Check::kArchitecture:
            return "architecture";
        case Check::kSegmentsUnreadable:
            return "segments-unreadable";
        case Check::kLocked:
            return "locked";
        case Check::kCrashEntry:
            return "crash-entry";
        case Check::kWraps:
            return "wraps";
        case Check::kAlignment:
            return "alignment";
        case Check::kDestinationLimit:
            return "destination-limit";
        case Check::kOverlap:
            return "overlap";
        case Check::kBufferLarger:
            return "buffer-larger";
        case Check::kSegmentPages:
            return "segment-pages";
        case Check::kTotalPages:
            return "total-pages";
        case Check::kCrashRegion:
            return "crash-region";
        case Check::kNoControlPage:
            return "no-control-page";
        case Check::kBufferUnreadable:
            return "buffer-unreadable";
    }
    return "unknown";
}

std::string errno_name(int error) {
    switch (error) {
        case EPERM:
            return "EPERM";
        case ENOMEM:
            return "ENOMEM";
        case EACCES:
            return "EACCES";
        case EFAULT:
            return "EFAULT";
        case EBUSY:
            return "EBUSY";
        case EINVAL:
            return "EINVAL";
        case EADDRNOTAVAIL:
            return "EADDRNOTAVAIL";
        default:
            return std::to_string(error);
    }
}

}  // namespace jumpback::kimage
