// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/resources.h"

#include <algorithm>
#include <array>
#include <utility>

namespace jumpback::jump {
namespace {

using R = Resource;
using S = Step;

constexpr std::array<ResourceInfo, kResources> kTable{{
    {R::lock, "lock", "kexec lock held", "the kexec lock stays held", S::take_lock, S::drop_lock},
    {R::liveupdate, "liveupdate", "live update state frozen", "live update state stays frozen",
     S::liveupdate_reboot, S::other},
    {R::transition_mutex, "transition-mutex", "system_transition_mutex held",
     "system_transition_mutex stays held", S::take_transition_mutex, S::drop_transition_mutex},
    {R::virtual_console, "virtual-console", "virtual console switched",
     "the virtual console stays switched", S::prepare_console, S::restore_console},
    {R::tasks, "tasks", "tasks frozen", "tasks stay frozen", S::freeze_processes,
     S::thaw_processes},
    {R::consoles, "consoles", "consoles suspended", "consoles stay suspended", S::suspend_consoles,
     S::resume_consoles},
    {R::devices, "devices", "devices suspended", "devices stay suspended", S::suspend_devices,
     S::resume_devices},
    {R::gfp_mask, "gfp-mask", "allocations may not do I/O",
     "allocations stay without I/O (gfp mask)", S::suspend_devices, S::resume_devices},
    {R::devices_late, "devices-late", "devices in their late suspend",
     "devices stay in their late suspend", S::suspend_devices_late, S::resume_devices_early},
    {R::cpus, "cpus", "secondary CPUs offline", "secondary CPUs stay offline", S::disable_cpus,
     S::enable_cpus},
    {R::irqs, "irqs", "interrupts off", "interrupts stay off", S::disable_irqs, S::enable_irqs},
    {R::syscore, "syscore", "system core suspended", "the system core stays suspended",
     S::suspend_syscore, S::resume_syscore},
    {R::cpu_hotplug, "cpu-hotplug", "CPU hotplug disabled", "CPU hotplug stays disabled",
     S::migrate_to_boot_cpu, S::enable_cpu_hotplug},
}};

// What machine_kexec() needs when it is to come back.
constexpr Resource kJumpNeeds[] = {R::lock,         R::tasks, R::consoles, R::devices,
                                   R::devices_late, R::cpus,  R::irqs,     R::syscore};

// A step that fails has undone itself, but for these two: some devices are suspended when
// dpm_suspend_start() fails, some CPUs offline when freeze_secondary_cpus() does
// (drivers/base/power/main.c, kernel/cpu.c).
bool stays_after_failure(Resource resource) {
    return resource == R::devices || resource == R::gfp_mask || resource == R::cpus;
}

class Books {
  public:
    Books(const Kernel& kernel, Branch branch) : kernel_(kernel), branch_(branch) {}

    Ledger keep(const Trace& trace) {
        for (at_ = 0; at_ < trace.steps.size() && !left_; ++at_) {
            step(trace.steps[at_]);
        }
        at_ = trace.steps.size();
        if (left_) {
            return std::move(out_);  // a plain kexec: what follows is another kernel
        }
        if (!trace.returned) {
            wrong("kernel_kexec never returned");
            return std::move(out_);
        }
        for (const Resource resource : out_.held) {
            wrong(std::string(info(resource).stays) + " at return");
        }
        if (*trace.returned == 0 && (failed_ || !jumped_)) {
            wrong(failed_ ? "0 is returned, though " + *failed_ + " failed"
                          : "0 is returned, and no jump was made");
        }
        return std::move(out_);
    }

  private:
    void wrong(std::string text) { out_.violations.push_back({at_, std::move(text)}); }
    [[nodiscard]] std::string name(Step step) const { return describe(step, kernel_.version); }
    [[nodiscard]] bool holds(Resource resource) const {
        return std::find(out_.held.begin(), out_.held.end(), resource) != out_.held.end();
    }
    // The gfp mask goes with the devices, live update state is given back by nobody: they have no
    // place of their own in the order.
    [[nodiscard]] static bool ordered(Resource resource) {
        return resource != R::gfp_mask && resource != R::liveupdate;
    }

    void step(const TraceStep& found) {
        bool gives = false;
        for (const ResourceInfo& row : kTable) {
            if (row.taker == found.step) {
                take(row, found);
            }
            if (row.giver == found.step) {
                give(row, found.step);
                gives = true;
            }
        }
        if (found.step == S::restore_gfp_mask) {
            give(info(R::gfp_mask), found.step);
            gives = true;
        }
        if (!gives && failed_ && found.step != S::other && found.result == 0) {
            wrong(name(found.step) + " although " + *failed_ + " failed");
        }
        if (info(found.step).returns_error && found.result != 0) {
            failed_ = name(found.step);
        }
        if (found.step == S::machine_kexec) {
            jump();
        }
        if (found.step == S::shut_down_machine && holds(R::cpu_hotplug) &&
            has_step(S::enable_cpu_hotplug)) {
            wrong(name(found.step) + " with CPU hotplug disabled");
        }
    }

    void take(const ResourceInfo& row, const TraceStep& found) {
        if (row.resource == R::gfp_mask && kernel_.version < KernelVersion{6, 16}) {
            return;
        }
        if (row.resource == R::transition_mutex) {
            wrong("system_transition_mutex is taken again: reboot(2) holds it, this is a deadlock");
        }
        if (found.result != 0 && !stays_after_failure(row.resource)) {
            return;
        }
        if (holds(row.resource)) {
            wrong(name(found.step) + " a second time");
            return;
        }
        for (const Resource held : out_.held) {
            if (held > row.resource && ordered(held) && ordered(row.resource)) {
                wrong(name(found.step) + " too late: " + std::string(info(held).taken) +
                      " already");
                break;
            }
        }
        out_.held.push_back(row.resource);
    }

    void give(const ResourceInfo& row, Step step) {
        if (!holds(row.resource)) {
            if (row.resource != R::gfp_mask || step == S::restore_gfp_mask) {
                wrong(name(step) + ", but nothing is to be undone by it");
            }
            return;
        }
        for (const Resource held : out_.held) {
            if (held > row.resource && ordered(held) && ordered(row.resource)) {
                wrong(name(step) + " too early: " + std::string(info(held).taken) + " still");
                break;
            }
        }
        std::erase(out_.held, row.resource);
    }

    void jump() {
        if (std::exchange(jumped_, true)) {
            wrong("machine_kexec a second time");
        }
        if (branch_ == Branch::plain) {
            left_ = true;
            if (!holds(R::lock)) {
                wrong("machine_kexec without the kexec lock");
            }
            return;
        }
        for (const Resource need : kJumpNeeds) {
            if (!holds(need) && has_step(info(need).taker)) {
                wrong("machine_kexec without: " + std::string(info(need).taken));
            }
        }
    }
    [[nodiscard]] bool has_step(Step step) const { return !kernel_.left_out.contains(step); }

    const Kernel& kernel_;
    Branch branch_;
    Ledger out_;
    std::size_t at_ = 0;
    std::optional<std::string> failed_;
    bool jumped_ = false;
    bool left_ = false;
};

}  // namespace

const ResourceInfo& info(Resource resource) { return kTable[static_cast<std::size_t>(resource)]; }
std::span<const ResourceInfo> all_resources() { return kTable; }

Ledger keep_books(const Kernel& kernel, Branch branch, const Trace& trace) {
    return Books(kernel, branch).keep(trace);
}

std::vector<std::string> left_undone(const Kernel& kernel, const Ledger& ledger) {
    std::vector<std::string> out;
    for (const Resource resource : ledger.held) {
        const ResourceInfo& row = info(resource);
        std::string_view giver =
            row.giver == Step::other ? std::string_view{} : symbol_in(row.giver, kernel.version);
        if (giver.empty() && row.giver != Step::other) {
            giver = info(row.giver).id;
        }
        out.push_back(std::string(row.stays) + (giver.empty() ? "" : ": ") + std::string(giver) +
                      (giver.empty() ? "" : " never ran"));
    }
    return out;
}

}  // namespace jumpback::jump
