// SPDX-License-Identifier: GPL-2.0-or-later
#include "model/jump/steps.h"

#include <algorithm>
#include <array>

namespace jumpback::jump {
namespace {

// include/linux/pm.h: PMSG_FREEZE and PMSG_RESTORE are structures of this one int.
constexpr std::uint32_t kEventFreeze = 0x01;
constexpr std::uint32_t kEventRestore = 0x40;
// include/linux/kmsg_dump.h: KMSG_DUMP_SHUTDOWN.
constexpr std::uint32_t kDumpShutdown = 4;

constexpr SymbolName kLiveupdate[] = {{"liveupdate_reboot", {}}};
constexpr SymbolName kLockSleep[] = {{"lock_system_sleep", {}}};
constexpr SymbolName kUnlockSleep[] = {{"unlock_system_sleep", {}}};
constexpr SymbolName kPrepareConsole[] = {{"pm_prepare_console", {}}};
constexpr SymbolName kRestoreConsole[] = {{"pm_restore_console", {}}};
constexpr SymbolName kFreeze[] = {{"freeze_processes", {}}};
constexpr SymbolName kThaw[] = {{"thaw_processes", {}}};
constexpr SymbolName kSuspendConsoles[] = {{"console_suspend_all", {6, 16}},
                                           {"suspend_console", {}}};
constexpr SymbolName kResumeConsoles[] = {{"console_resume_all", {6, 16}}, {"resume_console", {}}};
constexpr SymbolName kSuspendStart[] = {{"dpm_suspend_start", {}}};
constexpr SymbolName kSuspendEnd[] = {{"dpm_suspend_end", {}}};
constexpr SymbolName kResumeStart[] = {{"dpm_resume_start", {}}};
constexpr SymbolName kResumeEnd[] = {{"dpm_resume_end", {}}};
// suspend_disable_secondary_cpus() and its counterpart are inline (include/linux/cpu.h).
constexpr SymbolName kDisableCpus[] = {{"freeze_secondary_cpus", {}}, {"disable_nonboot_cpus", {}}};
constexpr SymbolName kEnableCpus[] = {{"thaw_secondary_cpus", {}}, {"enable_nonboot_cpus", {}}};
constexpr SymbolName kSyscoreSuspend[] = {{"syscore_suspend", {}}};
constexpr SymbolName kSyscoreResume[] = {{"syscore_resume", {}}};
// kmsg_dump() became an inline around kmsg_dump_desc().
constexpr SymbolName kDump[] = {{"kmsg_dump_desc", {6, 12}}, {"kmsg_dump", {}}};
constexpr SymbolName kMachineKexec[] = {{"machine_kexec", {}}};
constexpr SymbolName kGfp[] = {{"pm_restore_gfp_mask", {}}};
constexpr SymbolName kRestart[] = {{"kernel_restart_prepare", {}}};
constexpr SymbolName kMigrate[] = {{"migrate_to_reboot_cpu", {}}};
constexpr SymbolName kSyscoreShutdown[] = {{"syscore_shutdown", {}}};
constexpr SymbolName kHotplug[] = {{"cpu_hotplug_enable", {}}};
constexpr SymbolName kMachineShutdown[] = {{"machine_shutdown", {}}};
constexpr SymbolName kSaveState[] = {{"save_processor_state", {}}};
constexpr SymbolName kRestoreState[] = {{"restore_processor_state", {}}};
constexpr SymbolName kCet[] = {{"cet_disable", {}}};
constexpr SymbolName kClearApic[] = {{"clear_IO_APIC", {}}};
constexpr SymbolName kBootIrq[] = {{"restore_boot_irq_mode", {}}};
constexpr SymbolName kInvalidateIdt[] = {{"idt_invalidate", {}}};
constexpr SymbolName kRelocate[] = {{"relocate_kernel", {}}};

constexpr std::string_view kSmp = "CONFIG_PM_SLEEP_SMP";
constexpr std::string_view kVt = "CONFIG_VT_CONSOLE_SLEEP";
constexpr std::string_view kIoApic = "CONFIG_X86_IO_APIC";

using S = Step;
constexpr std::span<const SymbolName> kNone{};

constexpr std::array<StepInfo, kSteps> kTable{{
    {S::take_lock, "take-lock", kNone, "", {}, "", true, ""},
    {S::find_image, "find-image", kNone, "", {}, "", true, ""},
    {S::liveupdate_reboot,
     "liveupdate-reboot",
     kLiveupdate,
     "CONFIG_LIVEUPDATE",
     {},
     "",
     true,
     "the next kernel finds no live update state"},
    {S::take_transition_mutex, "take-transition-mutex", kLockSleep, "", {}, "", false, ""},
    {S::prepare_console,
     "prepare-console",
     kPrepareConsole,
     kVt,
     {},
     "",
     false,
     "the jump runs on whatever virtual console is in front"},
    {S::freeze_processes,
     "freeze-processes",
     kFreeze,
     "",
     {},
     "",
     true,
     "user space runs on while devices are suspended"},
    {S::suspend_consoles,
     "suspend-consoles",
     kSuspendConsoles,
     "",
     {},
     "",
     false,
     "consoles write to suspended devices"},
    {S::suspend_devices, "suspend-devices", kSuspendStart, "", kEventFreeze, "PMSG_FREEZE", true,
     "devices run, and may write to memory, during the jump"},
    {S::suspend_devices_late, "suspend-devices-late", kSuspendEnd, "", kEventFreeze, "PMSG_FREEZE",
     true, "interrupt controllers and late devices are out of step with the hardware on return"},
    {S::disable_cpus,
     "disable-cpus",
     kDisableCpus,
     kSmp,
     {},
     "",
     true,
     "other CPUs run on pages that are being swapped"},
    {S::disable_irqs,
     "disable-irqs",
     kNone,
     "",
     {},
     "",
     false,
     "an interrupt may come while the interrupt controllers are suspended"},
    {S::suspend_syscore,
     "suspend-syscore",
     kSyscoreSuspend,
     "",
     {},
     "",
     true,
     "timekeeping and interrupt controllers are not saved"},
    {S::dump_log, "dump-log", kDump, "CONFIG_PRINTK", kDumpShutdown, "KMSG_DUMP_SHUTDOWN", false,
     "the log of this kernel is not handed to the dumpers"},
    {S::machine_kexec, "machine-kexec", kMachineKexec, "", {}, "", false, "no jump is made"},
    {S::resume_syscore, "resume-syscore", kSyscoreResume, "", {}, "", false, ""},
    {S::enable_irqs, "enable-irqs", kNone, "", {}, "", false, ""},
    {S::enable_cpus, "enable-cpus", kEnableCpus, kSmp, {}, "", false, ""},
    {S::resume_devices_early, "resume-devices-early", kResumeStart, "", kEventRestore,
     "PMSG_RESTORE", false, ""},
    {S::resume_devices, "resume-devices", kResumeEnd, "", kEventRestore, "PMSG_RESTORE", false, ""},
    {S::restore_gfp_mask, "restore-gfp-mask", kGfp, "", {}, "", false, ""},
    {S::resume_consoles, "resume-consoles", kResumeConsoles, "", {}, "", false, ""},
    {S::thaw_processes, "thaw-processes", kThaw, "", {}, "", false, ""},
    {S::restore_console, "restore-console", kRestoreConsole, kVt, {}, "", false, ""},
    {S::drop_transition_mutex, "drop-transition-mutex", kUnlockSleep, "", {}, "", false, ""},
    {S::drop_lock, "drop-lock", kNone, "", {}, "", false, ""},
    {S::mark_in_progress,
     "mark-in-progress",
     kNone,
     "",
     {},
     "",
     false,
     "drivers that look at kexec_in_progress shut down as for a power-off"},
    {S::prepare_restart,
     "prepare-restart",
     kRestart,
     "",
     {},
     "",
     false,
     "reboot notifiers do not run and devices are not shut down"},
    {S::migrate_to_boot_cpu,
     "migrate-to-boot-cpu",
     kMigrate,
     "",
     {},
     "",
     false,
     "the next kernel may be entered on another CPU than the boot CPU"},
    {S::shut_down_syscore,
     "shut-down-syscore",
     kSyscoreShutdown,
     "",
     {},
     "",
     false,
     "the i8259 and other system core devices are not quiesced (kernel commit 7bb943806ff6)"},
    {S::enable_cpu_hotplug,
     "enable-cpu-hotplug",
     kHotplug,
     "CONFIG_HOTPLUG_CPU",
     {},
     "",
     false,
     "machine_shutdown() cannot take CPUs down"},
    {S::shut_down_machine,
     "shut-down-machine",
     kMachineShutdown,
     "",
     {},
     "",
     false,
     "other CPUs run on, and interrupt controllers stay as they are"},
    {S::save_processor_state,
     "save-processor-state",
     kSaveState,
     "",
     {},
     "",
     false,
     "the CPU's state is lost on return"},
    {S::disable_breakpoints,
     "disable-breakpoints",
     kNone,
     "",
     {},
     "",
     false,
     "a hardware breakpoint may fire without a descriptor table"},
    {S::disable_cet,
     "disable-cet",
     kCet,
     "",
     {},
     "",
     false,
     "indirect branch tracking faults in the next kernel"},
    {S::clear_io_apic,
     "clear-io-apic",
     kClearApic,
     kIoApic,
     {},
     "",
     false,
     "IOAPIC pins stay in their old mode and the next kernel gets no timer interrupt (B1)"},
    {S::restore_boot_irq_mode,
     "restore-boot-irq-mode",
     kBootIrq,
     kIoApic,
     {},
     "",
     false,
     "there is no virtual wire, and the next kernel gets no timer interrupt (B1)"},
    {S::copy_control_code,
     "copy-control-code",
     kNone,
     "",
     {},
     "",
     false,
     "the control page holds no code to run"},
    {S::load_segments,
     "load-segments",
     kNone,
     "",
     {},
     "",
     false,
     "segment registers are stale when the descriptor table is gone"},
    {S::invalidate_idt,
     "invalidate-idt",
     kInvalidateIdt,
     "",
     {},
     "",
     false,
     "exceptions go to the old kernel's handlers"},
    {S::invalidate_gdt,
     "invalidate-gdt",
     kNone,
     "",
     {},
     "",
     false,
     "the next kernel may load segments from the old kernel's table"},
    {S::relocate_kernel, "relocate-kernel", kRelocate, "", {}, "", false, "no jump is made"},
    {S::restore_processor_state,
     "restore-processor-state",
     kRestoreState,
     "",
     {},
     "",
     false,
     "the CPU goes on with the other kernel's state"},
    {S::other, "other", kNone, "", {}, "", false, ""},
}};

constexpr bool in_order() {
    for (std::size_t i = 0; i < kTable.size(); ++i) {
        if (static_cast<std::size_t>(kTable[i].step) != i) {
            return false;
        }
    }
    return true;
}
static_assert(in_order(), "kTable is indexed by Step");

}  // namespace

const StepInfo& info(Step step) { return kTable[static_cast<std::size_t>(step)]; }

std::span<const StepInfo> all_steps() { return kTable; }

std::optional<Step> step_of_id(std::string_view id) {
    const auto* const found = std::find_if(kTable.begin(), kTable.end(),
                                           [&](const StepInfo& row) { return row.id == id; });
    return found == kTable.end() ? std::nullopt : std::optional(found->step);
}

std::optional<Step> step_of_symbol(std::string_view symbol) {
    for (const StepInfo& row : kTable) {
        for (const SymbolName& name : row.symbols) {
            if (name.name == symbol) {
                return row.step;
            }
        }
    }
    return std::nullopt;
}

std::string_view symbol_in(Step step, KernelVersion version) {
    for (const SymbolName& name : info(step).symbols) {
        if (version >= name.since) {
            return name.name;
        }
    }
    return {};
}

std::string describe(Step step, KernelVersion version) {
    std::string text(info(step).id);
    const std::string_view symbol = symbol_in(step, version);
    return symbol.empty() ? text : text + " (" + std::string(symbol) + ")";
}

}  // namespace jumpback::jump
