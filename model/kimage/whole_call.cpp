// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/kimage/whole_call.h"

#include <cerrno>

namespace jumpback::kimage {
namespace {

void fail(LoadVerdict& verdict, int error, Check check, std::size_t segment, const char* what) {
    verdict.result = -error;
    verdict.check = check;
    verdict.segment = segment;
    verdict.text = "segment " + std::to_string(segment) + " " + what;
}

}  // namespace

std::optional<std::size_t> covers_all_memory(const LoadRules& rules,
                                             std::span<const Segment> segments) {
    if (!rules.inclusive_ranges || rules.skips_empty_segments) {
        return std::nullopt;
    }
    for (std::size_t at = 0; at < segments.size(); ++at) {
        if (segments[at].mem.raw == 0 && segments[at].memsz == 0) {
            return at;
        }
    }
    return std::nullopt;
}

LoadVerdict check_whole_call(const LoadRules& rules, const KernelSetup& setup,
                             const LoadConditions& conditions, const LoadCall& call,
                             std::optional<std::size_t> unreadable_buffer) {
    LoadVerdict verdict = check_load(rules, setup, conditions, call);
    if (!verdict.ok() || verdict.unloads) {
        return verdict;
    }
    // The control pages of a crash image come out of its own region. No such segment gets here
    // then: its last byte is in no region.
    if (const auto all = covers_all_memory(rules, call.segments)) {
        fail(verdict, ENOMEM, Check::kNoControlPage, *all,
             "of length 0 at address 0 makes every frame a destination: none can be a control "
             "page");
    } else if (unreadable_buffer && *unreadable_buffer < call.segments.size() &&
               call.segments[*unreadable_buffer].bufsz != 0) {
        fail(verdict, EFAULT, Check::kBufferUnreadable, *unreadable_buffer,
             "has a buffer that cannot be read");
    }
    return verdict;
}

std::string function_of(Check check, const LoadRules& rules, bool compat) {
    switch (check) {
        case Check::kNone:
            return "";
        case Check::kPermission:
            return rules.load_limits ? "kexec_load_permitted()" : "kexec_load_check()";
        case Check::kLoadLimit:
            return "kexec_load_permitted()";
        case Check::kSecurityModule:
        case Check::kLockdown:
        case Check::kFlags:
        case Check::kSegmentCount:
            return "kexec_load_check()";
        case Check::kArchitecture:
            return "kexec_load()";
        case Check::kSegmentsUnreadable:
            return rules.copies_before_lock || compat ? "kexec_load()" : "copy_user_segment_list()";
        case Check::kLocked:
            return "do_kexec_load()";
        case Check::kCrashEntry:
            return "kimage_alloc_init()";
        case Check::kWraps:
        case Check::kAlignment:
        case Check::kDestinationLimit:
        case Check::kOverlap:
        case Check::kBufferLarger:
        case Check::kSegmentPages:
        case Check::kTotalPages:
        case Check::kCrashRegion:
            return "sanity_check_segment_list()";
        case Check::kNoControlPage:
            return "kimage_alloc_control_pages()";
        case Check::kBufferUnreadable:
            return "kimage_load_segment()";
    }
    return "";
}

}  // namespace jumpback::kimage
