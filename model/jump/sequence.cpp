// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/sequence.h"

#include <algorithm>

namespace jumpback::jump {
namespace {

using S = Step;

// A step of some versions only. Sources were read in 5.10, 6.1, 6.12, 7.2 and 7.3: between the last
// version known to lack a step and the first known to have it, it may be there.
struct Since {
    Step step;
    KernelVersion possible;
    KernelVersion certain;
};
constexpr Since kSince[] = {
    {S::dump_log, {5, 11}, {6, 1}},
    // 7bb943806ff6, in 6.8 and 6.6.y.
    {S::shut_down_syscore, {6, 2}, {6, 8}},
    {S::liveupdate_reboot, {6, 13}, {7, 2}},
    {S::disable_cet, {5, 11}, {6, 1}},
};

// A step forward that may fail, and where kernel_kexec() then goes: the first step of kBack that
// runs. What stands before it in kBack is left out.
struct Unwind {
    Step failing;
    Step to;
    std::optional<int> error;  // returned in place of the step's own
};
constexpr Unwind kUnwind[] = {
    {S::take_lock, S::other, kBusy},  // returns at once
    {S::find_image, S::drop_lock, kInvalid},
    {S::liveupdate_reboot, S::drop_lock, {}},
    {S::freeze_processes, S::restore_console, kBusy},
    {S::suspend_devices, S::resume_devices, {}},
    {S::suspend_devices_late, S::resume_devices, {}},
    {S::disable_cpus, S::enable_cpus, {}},
    {S::suspend_syscore, S::enable_irqs, {}},
};

constexpr Step kEntry[] = {S::take_lock, S::find_image};
constexpr Step kJump[] = {
    S::prepare_console, S::freeze_processes,     S::suspend_consoles,
    S::suspend_devices, S::suspend_devices_late, S::disable_cpus,
    S::disable_irqs,    S::suspend_syscore,      S::dump_log,
    S::machine_kexec,
};
constexpr Step kBack[] = {
    S::resume_syscore,       S::enable_irqs,     S::enable_cpus,
    S::resume_devices_early, S::resume_devices,  S::resume_consoles,
    S::thaw_processes,       S::restore_console, S::drop_lock,
};
constexpr Step kPlain[] = {
    S::liveupdate_reboot,   S::mark_in_progress,  S::prepare_restart,
    S::migrate_to_boot_cpu, S::shut_down_syscore, S::enable_cpu_hotplug,
    S::shut_down_machine,   S::dump_log,          S::machine_kexec,
};
// machine_kexec(); what only the jump has is left out for a plain kexec.
constexpr Step kMachine[] = {
    S::save_processor_state, S::disable_irqs,    S::disable_breakpoints,
    S::disable_cet,          S::clear_io_apic,   S::restore_boot_irq_mode,
    S::copy_control_code,    S::load_segments,   S::invalidate_idt,
    S::invalidate_gdt,       S::relocate_kernel, S::restore_processor_state,
};
constexpr Step kMachineJumpOnly[] = {S::save_processor_state, S::clear_io_apic,
                                     S::restore_boot_irq_mode, S::restore_processor_state};

template <typename Range>
bool contains(const Range& range, Step step) {
    return std::find(std::begin(range), std::end(range), step) != std::end(range);
}

const Unwind* unwind_of(Step step) {
    const auto* const found = std::find_if(std::begin(kUnwind), std::end(kUnwind),
                                           [&](const Unwind& row) { return row.failing == step; });
    return found == std::end(kUnwind) ? nullptr : found;
}

bool is_optional(const Kernel& kernel, Step step) {
    return std::any_of(std::begin(kSince), std::end(kSince), [&](const Since& row) {
        return row.step == step && kernel.version >= row.possible && kernel.version < row.certain;
    });
}

class Builder {
  public:
    Builder(const Kernel& kernel, const Scenario& scenario)
        : kernel_(kernel), scenario_(scenario) {}

    // Takes the steps until one fails; false then.
    template <typename Range>
    bool forward(const Range& steps) {
        return std::all_of(std::begin(steps), std::end(steps), [&](Step step) {
            if (!has_step(kernel_, step)) {
                return true;
            }
            const bool fails = scenario_.failing == step;
            if (step != S::find_image) {  // a test, nothing that a trace shows
                take(step, fails ? failure(step) : 0);
            }
            if (fails) {
                unwind(step);
            }
            return !fails;
        });
    }
    template <typename Range>
    void back(const Range& steps, Step from) {
        bool running = false;
        for (const Step step : steps) {
            running = running || step == from;
            if (running && has_step(kernel_, step)) {
                take(step, 0);
            }
        }
    }
    ExpectedTrace finish(std::optional<int> returned) {
        out_.returned = returned;
        return std::move(out_);
    }
    ExpectedTrace finish_failed() { return finish(returned_); }

  private:
    void take(Step step, int result) {
        out_.steps.push_back({step, result, is_optional(kernel_, step)});
    }
    [[nodiscard]] int failure(Step step) const {
        return step == S::take_lock ? kBusy : scenario_.error;
    }
    void unwind(Step step) {
        const Unwind* const row = unwind_of(step);
        returned_ = row->error.value_or(scenario_.error);
        // Steps that the configuration lacks are labels all the same.
        back(kBack, row->to);
    }

    const Kernel& kernel_;
    const Scenario& scenario_;
    ExpectedTrace out_;
    int returned_ = 0;
};

}  // namespace

bool has_step(const Kernel& kernel, Step step) {
    if (kernel.left_out.contains(step)) {
        return false;
    }
    const bool later = std::any_of(std::begin(kSince), std::end(kSince), [&](const Since& row) {
        return row.step == step && kernel.version < row.possible;
    });
    if (later || (step == S::disable_cet && kernel.arch == Arch::i386)) {
        return false;
    }
    const bool in_copy =
        step == S::copy_control_code || step == S::invalidate_idt || step == S::invalidate_gdt;
    return !(in_copy && kernel.relocates_from_copy());
}

ExpectedTrace expected_trace(const Kernel& kernel, const Scenario& scenario) {
    Builder builder(kernel, scenario);
    if (!builder.forward(kEntry)) {
        return builder.finish_failed();
    }
    if (scenario.branch == Branch::plain) {
        return builder.forward(kPlain) ? builder.finish({}) : builder.finish_failed();
    }
    if (!builder.forward(kJump)) {
        return builder.finish_failed();
    }
    builder.back(kBack, S::resume_syscore);
    return builder.finish(0);
}

ExpectedTrace expected_machine_trace(const Kernel& kernel, Branch branch) {
    ExpectedTrace out;
    for (const Step step : kMachine) {
        if (has_step(kernel, step) &&
            (branch == Branch::jump || !contains(kMachineJumpOnly, step))) {
            out.steps.push_back({step, 0, is_optional(kernel, step)});
        }
    }
    // 5.10's x86_64 alone loads the empty GDT before the empty IDT.
    if (kernel.arch == Arch::x86_64 && kernel.version < KernelVersion{5, 11}) {
        const auto idt =
            std::find_if(out.steps.begin(), out.steps.end(),
                         [](const ExpectedStep& row) { return row.step == S::invalidate_idt; });
        if (idt != out.steps.end()) {
            std::iter_swap(idt, idt + 1);
        }
    }
    if (branch == Branch::plain) {
        return out;
    }
    out.returned = 0;
    return out;
}

std::vector<Scenario> scenarios(const Kernel& kernel) {
    std::vector<Scenario> out{{Branch::jump, {}}};
    for (const Step step : kEntry) {
        out.push_back({Branch::jump, step});
    }
    for (const Step step : kJump) {
        if (unwind_of(step) != nullptr && has_step(kernel, step)) {
            out.push_back({Branch::jump, step});
        }
    }
    out.push_back({Branch::plain, {}});
    for (const Step step : kPlain) {
        if (unwind_of(step) != nullptr && has_step(kernel, step)) {
            out.push_back({Branch::plain, step});
        }
    }
    return out;
}

Trace as_trace(const ExpectedTrace& expected, KernelVersion version) {
    Trace out;
    for (const ExpectedStep& row : expected.steps) {
        out.steps.push_back({row.step, row.result, info(row.step).argument,
                             std::string(symbol_in(row.step, version))});
    }
    out.returned = expected.returned;
    return out;
}

std::string to_string(const Scenario& scenario) {
    std::string text = scenario.branch == Branch::jump ? "jump" : "plain";
    return scenario.failing ? text + ", " + std::string(info(*scenario.failing).id) + " fails"
                            : text;
}

}  // namespace jumpback::jump
