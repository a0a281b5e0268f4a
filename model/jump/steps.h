// SPDX-License-Identifier: GPL-2.0-or-later
//
// The steps of a kexec jump: of kernel_kexec() (kernel/kexec_core.c) on both its branches, and of
// machine_kexec() (arch/x86/kernel/machine_kexec_{32,64}.c). Each has the kernel function that is
// called for it; a few are single instructions or writes to a variable.
#pragma once

#include <bitset>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace jumpback::jump {

// Mainline's "major.minor": the order of steps never changed within a stable series except where a
// fault was fixed (faults.h).
struct KernelVersion {
    unsigned major = 0;
    unsigned minor = 0;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a rewritten "<"
    constexpr auto operator<=>(const KernelVersion&) const = default;
};

enum class Arch : std::uint8_t { x86_64, i386 };

enum class Step : std::uint8_t {
    // Forward, preserved context.
    take_lock,              // kexec_trylock()
    find_image,             // kexec_image is not NULL; never in a trace, it is no call
    liveupdate_reboot,      // plain kexec only, in a correct kernel
    take_transition_mutex,  // in no correct kernel: reboot(2) holds it already
    prepare_console,
    freeze_processes,
    suspend_consoles,
    suspend_devices,
    suspend_devices_late,
    disable_cpus,
    disable_irqs,
    suspend_syscore,
    dump_log,
    machine_kexec,
    // Back, and the way out of a failure.
    resume_syscore,
    enable_irqs,
    enable_cpus,
    resume_devices_early,
    resume_devices,
    restore_gfp_mask,  // in no correct kernel: dpm_resume_end() does it
    resume_consoles,
    thaw_processes,
    restore_console,
    drop_transition_mutex,
    drop_lock,
    // Forward, plain kexec.
    mark_in_progress,  // kexec_in_progress = true
    prepare_restart,
    migrate_to_boot_cpu,
    shut_down_syscore,
    enable_cpu_hotplug,
    shut_down_machine,
    // Inside machine_kexec().
    save_processor_state,
    disable_breakpoints,
    disable_cet,
    clear_io_apic,
    restore_boot_irq_mode,
    copy_control_code,
    load_segments,
    invalidate_idt,
    invalidate_gdt,
    relocate_kernel,
    restore_processor_state,
    // A call to a function that no kernel is known to call there; see TraceStep::symbol.
    other,
};
inline constexpr std::size_t kSteps = static_cast<std::size_t>(Step::other) + 1;

class StepSet {
  public:
    constexpr StepSet() = default;
    StepSet& add(Step step) {
        bits_.set(static_cast<std::size_t>(step));
        return *this;
    }
    [[nodiscard]] bool contains(Step step) const {
        return bits_.test(static_cast<std::size_t>(step));
    }
    [[nodiscard]] bool empty() const { return bits_.none(); }
    bool operator==(const StepSet&) const = default;

  private:
    std::bitset<kSteps> bits_;
};

// A name that a step's function has, from one version on.
struct SymbolName {
    std::string_view name;
    KernelVersion since;  // {0, 0}: as far back as the model goes
};

struct StepInfo {
    Step step = Step::other;
    std::string_view id;  // in traces, reports and Python: "suspend-devices"
    // Newest first; none: no function of its own.
    std::span<const SymbolName> symbols;
    // The option without which a kernel leaves the step out; empty: no kernel with
    // CONFIG_KEXEC_JUMP may.
    std::string_view config;
    // First argument that a correct kernel passes; nothing: not judged.
    std::optional<std::uint32_t> argument;
    std::string_view argument_text;  // the same in the kernel's words: "PMSG_FREEZE"
    bool returns_error = false;      // int: 0 or a negative errno
    // What is wrong when a correct kernel takes this step and this one does not; empty: what stays
    // taken says it (resources.h).
    std::string_view without;
};

const StepInfo& info(Step step);
// Every step, in the order of the enumeration.
std::span<const StepInfo> all_steps();
std::optional<Step> step_of_id(std::string_view id);
// The step whose function has this name in some version; nothing if none has.
std::optional<Step> step_of_symbol(std::string_view symbol);
// The name of the step's function in `version`; empty if it has none.
std::string_view symbol_in(Step step, KernelVersion version);
// "suspend-devices (dpm_suspend_start)", or the id alone.
std::string describe(Step step, KernelVersion version);

}  // namespace jumpback::jump
