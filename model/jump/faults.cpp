// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/faults.h"

#include <algorithm>
#include <array>

namespace jumpback::jump {
namespace {

using S = Step;

constexpr std::array<KnownFault, 4> kFaults{{
    {FaultId::mutex_deadlock,
     "B3",
     "2018-2021 deadlock",
     "every jump deadlocks on system_transition_mutex",
     "lock_system_sleep() at the start of the preserved branch, and nothing after it",
     "55f2503c3b69 (4.19)",
     "56c91a18432b (5.11, stable 4.19 and later)",
     "56c91a18432b",
     {4, 19},
     {5, 11}},
    {FaultId::unwinding_label,
     "B4",
     "2008-2025 unwinding bug",
     "devices stay suspended when dpm_suspend_start() fails",
     "no dpm_resume_end() after a dpm_suspend_start() that failed",
     "89081d17f7bb (2.6.27)",
     "996afb6efd1a (6.17, 6.16.y)",
     "996afb6efd1a",
     {2, 6},
     {6, 17}},
    {FaultId::liveupdate_frozen,
     "B12",
     "2026 live update bug",
     "a jump leaves the live update state frozen",
     "liveupdate_reboot() on the preserved branch",
     "with liveupdate_reboot(), after 6.12",
     "5eff62b051fb (2026-05)",
     "5eff62b051fb",
     {6, 13},
     {7, 2}},
    {FaultId::gfp_twice,
     "K14",
     "redundant gfp mask call of 6.16",
     "the gfp mask is restored twice, which does no harm",
     "pm_restore_gfp_mask() after dpm_resume_end(), which has done it",
     "6.16",
     "2096d42d82dc (6.17)",
     "2096d42d82dc",
     {6, 16},
     {6, 17}},
}};

using Steps = std::vector<ExpectedStep>;

Steps::iterator find(Steps& steps, Step step) {
    return std::find_if(steps.begin(), steps.end(),
                        [&](const ExpectedStep& row) { return row.step == step; });
}

// kernel_kexec() has got as far as its preserved branch.
bool is_inside_jump(const Scenario& scenario) {
    return scenario.branch == Branch::jump && scenario.failing != S::take_lock &&
           scenario.failing != S::find_image;
}

void apply(FaultId id, const Scenario& scenario, ExpectedTrace& trace) {
    Steps& steps = trace.steps;
    if (!is_inside_jump(scenario)) {
        return;
    }
    switch (id) {
        case FaultId::mutex_deadlock:
            steps.insert(steps.begin() + 1, {S::take_transition_mutex, 0, false});
            if (const auto last = find(steps, S::drop_lock); last != steps.end()) {
                steps.insert(last, {S::drop_transition_mutex, 0, false});
            }
            break;
        case FaultId::unwinding_label:
            if (scenario.failing == S::suspend_devices) {
                std::erase_if(
                    steps, [](const ExpectedStep& row) { return row.step == S::resume_devices; });
            }
            break;
        case FaultId::liveupdate_frozen:
            steps.insert(steps.begin() + 1, {S::liveupdate_reboot, 0, false});
            break;
        case FaultId::gfp_twice:
            if (const auto at = find(steps, S::resume_consoles); at != steps.end()) {
                steps.insert(at, {S::restore_gfp_mask, 0, false});
            }
            break;
    }
}

}  // namespace

std::span<const KnownFault> known_faults() { return kFaults; }

const KnownFault& fault(FaultId id) { return kFaults[static_cast<std::size_t>(id)]; }

Result<FaultId> fault_of_code(std::string_view code) {
    std::string codes;
    for (const KnownFault& row : kFaults) {
        if (row.code == code) {
            return row.id;
        }
        codes += (codes.empty() ? "" : ", ") + std::string(row.code);
    }
    return Error{"fault '" + std::string(code) + "'", "expected one of " + codes};
}

ExpectedTrace faulty_trace(const Kernel& kernel, const Scenario& scenario,
                           std::span<const FaultId> faults) {
    ExpectedTrace trace = expected_trace(kernel, scenario);
    for (const KnownFault& row : kFaults) {  // in the table's order, whatever the caller's
        if (std::find(faults.begin(), faults.end(), row.id) != faults.end()) {
            apply(row.id, scenario, trace);
        }
    }
    return trace;
}

}  // namespace jumpback::jump
