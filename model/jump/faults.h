// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sequence faults that kernels are known to have had: how each shows in a trace, which versions
// have it, and the commit that ended it. Ids B3, B4 and B12 are those of the bug corpus that
// docs/jump-sequence.md lists; K14 is the redundant gfp mask call of 6.16.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/jump/sequence.h"
#include "model/result.h"

namespace jumpback::jump {

enum class FaultId : std::uint8_t { mutex_deadlock, unwinding_label, liveupdate_frozen, gfp_twice };

struct KnownFault {
    FaultId id = FaultId::mutex_deadlock;
    std::string_view code;   // "B4"
    std::string_view name;   // "2008-2025 unwinding bug"
    std::string_view title;  // "devices stay suspended when dpm_suspend_start() fails"
    std::string_view shows;  // in a trace
    std::string_view introduced;
    std::string_view fixed;   // the commit, and the first versions with it
    std::string_view commit;  // of the fix, 12 digits
    KernelVersion first;      // mainline versions that have it: first <= v < end
    KernelVersion end;
    // A release of a version in the range may have the fix from its stable series.
    [[nodiscard]] bool known_in(KernelVersion version) const {
        return version >= first && version < end;
    }
};

std::span<const KnownFault> known_faults();
const KnownFault& fault(FaultId id);
// By its code, "B4". Fails on an unknown one.
Result<FaultId> fault_of_code(std::string_view code);

// What a kernel with these faults does where a correct one does `expected_trace(kernel, scenario)`.
// The same trace, where the scenario does not show them.
ExpectedTrace faulty_trace(const Kernel& kernel, const Scenario& scenario,
                           std::span<const FaultId> faults);

}  // namespace jumpback::jump
