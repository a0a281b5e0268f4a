# SPDX-License-Identifier: GPL-2.0-or-later
"""What kernel_kexec() must leave as it found it: where each device stands in its power management,
and the switches that other code goes by. Read from outside at its first and last instruction.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.machine.breakpoints import Hit
from harness.machine.rsp import GdbError
from harness.symbols import Symbols

# drivers/base/power/main.c: a device is on one of them; awake, on dpm_list.
AWAKE = "dpm_list"
ASLEEP = {
    "dpm_prepared_list": "prepared",
    "dpm_suspended_list": "suspended",
    "dpm_late_early_list": "suspended late",
    "dpm_noirq_list": "suspended without interrupts",
}
_MOST = 10000  # devices; a list that is longer has no end

# Variables that a step of the jump changes and its counterpart changes back; those that a version
# or a configuration lacks are left out.
SWITCHES = (
    "__cpu_online_mask",  # kernel/cpu.c: freeze_secondary_cpus()
    "cpu_hotplug_disabled",
    "gfp_allowed_mask",  # mm: pm_restrict_gfp_mask()
    "pm_freezing",  # kernel/freezer.c: freeze_processes()
    "pm_nosig_freezing",
    "system_freezing_cnt",
    "freezer_active",
    "oom_killer_disabled",  # mm/oom_kill.c: freeze_processes()
    "timekeeping_suspended",  # kernel/time/timekeeping.c: a syscore operation
    "sched_clock_suspended",
    "console_suspended",  # kernel/printk: suspend_console()
    "kexec_in_progress",
    "__kexec_lock",
    "kexec_mutex",
)
_SWITCH_BYTES = 8  # read of each at most


@dataclass(frozen=True)
class KernelState:
    """``devices``: how many each list has. ``switches``: by name."""

    devices: dict[str, int]
    switches: dict[str, int]


class StateReader:
    def __init__(self, symbols: Symbols) -> None:
        self._word = 8 if symbols.arch == "x86_64" else 4
        self._lists = {name: symbols.address(name) for name in (AWAKE, *ASLEEP)}
        self._switches: dict[str, tuple[int, int]] = {}
        for name in SWITCHES:
            found = set(symbols.all(name))
            if len(found) == 1:
                address, size = found.pop()
                self._switches[name] = (address, min(size, _SWITCH_BYTES) or self._word)

    def read(self, hit: Hit) -> KernelState:
        return KernelState(
            {name: self._length(hit, head) for name, head in self._lists.items()},
            {
                name: int.from_bytes(hit.read_virtual(address, size), "little")
                for name, (address, size) in self._switches.items()
            },
        )

    def _length(self, hit: Hit, head: int) -> int:
        """Of a list_head's list; -1 if it cannot be walked."""
        count, at = 0, head
        try:
            while True:
                at = int.from_bytes(hit.read_virtual(at, self._word), "little")
                if at == head:
                    return count
                count += 1
                if count > _MOST:
                    return -1
        except GdbError:
            return -1


def devices_left(before: KernelState, after: KernelState) -> list[str]:
    """Devices that are not where they were, in words."""
    problems = []
    for name, words in ASLEEP.items():
        count = after.devices[name]
        if count < 0:
            problems.append(f"{name} is no list any more")
        elif count > before.devices[name]:
            problems.append(
                f"{count} devices stay {words}: {name} still has them, of "
                f"{before.devices[AWAKE]} devices"
            )
    if not problems and sum(after.devices.values()) != sum(before.devices.values()):
        problems.append(
            f"{sum(before.devices.values())} devices before, {sum(after.devices.values())} after"
        )
    return problems


def switches_changed(before: KernelState, after: KernelState) -> list[str]:
    return [
        f"{name} was {value:#x} and is {after.switches[name]:#x}"
        for name, value in before.switches.items()
        if after.switches[name] != value
    ]
