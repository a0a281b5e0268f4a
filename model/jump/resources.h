// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the steps of kernel_kexec() take and give back, and the rules that hold for every correct
// order of them in any version: taken in the kernel's order, given back in reverse, nothing twice,
// all of it undone at return, nothing missing at the jump. These rules know no table of faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/jump/trace.h"
#include "model/jump/version.h"

namespace jumpback::jump {

// In the order in which they are taken.
enum class Resource : std::uint8_t {
    lock,
    liveupdate,
    transition_mutex,
    virtual_console,
    tasks,
    consoles,
    devices,
    gfp_mask,  // __GFP_IO and __GFP_FS; taken by dpm_suspend_start() itself since 6.16
    devices_late,
    cpus,
    irqs,
    syscore,
    cpu_hotplug,  // plain kexec: migrate_to_reboot_cpu() disables it
};
inline constexpr std::size_t kResources = 13;

struct ResourceInfo {
    Resource resource = Resource::lock;
    std::string_view id;
    std::string_view taken;  // "devices suspended"
    std::string_view stays;  // "devices stay suspended"
    Step taker = Step::other;
    Step giver = Step::other;  // Step::other: nothing gives it back
};
const ResourceInfo& info(Resource resource);
std::span<const ResourceInfo> all_resources();

struct Violation {
    std::size_t position = 0;  // index into the trace; its length for what is wrong at the end
    std::string text;
};

struct Ledger {
    std::vector<Resource> held;  // when the trace ends, oldest first
    std::vector<Violation> violations;
};

// Plays the trace of kernel_kexec() and keeps the books. `branch` says which resources the jump
// needs; a plain kexec never comes back, so nothing has to be given back after its machine_kexec().
Ledger keep_books(const Kernel& kernel, Branch branch, const Trace& trace);

// "devices stay suspended: dpm_resume_end never ran", one for each resource still held.
std::vector<std::string> left_undone(const Kernel& kernel, const Ledger& ledger);

}  // namespace jumpback::jump
