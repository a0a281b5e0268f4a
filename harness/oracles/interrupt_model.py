# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured interrupt controllers, and what the kernel knows of them, as the model's machine.

``machine_of`` takes a capture of the machine alone. ``add_kernel`` adds the kernel's own variables
by symbol; without it the model assumes QEMU's board and a kernel that found nothing unusual.
Between the two stands ``add_timers``: PIT and HPET, which no capture has.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import jumpback_interrupts as ji

from harness.errors import InfraError
from harness.machine import Life
from harness.machine.interrupts import InterruptControllers
from harness.symbols import Symbols

# hw/intc/apic.c of QEMU 7.2: version 0x14, 6 LVTs; in no monitor command.
_QEMU_LAPIC_VERSION = 0x50014
_TDCR = re.compile(r"\bDCR=0x([0-9a-f]+)")
_IOAPIC_VERSION = re.compile(r"^ioapic\d+: ver=0x([0-9a-f]+)", re.M)

# Registers that no monitor command shows: never proved by a capture.
UNSEEN = (
    "LAPIC APICBASE",
    "LAPIC ID",
    "LAPIC version",
    "LAPIC LVTCMCI",
    "8259 master AEOI",
    "8259 slave AEOI",
    "IMCR",
)

_LVT = {
    "lvtt": "LVTT",
    "lvtthmr": "LVTTHMR",
    "lvtpc": "LVTPC",
    "lvt0": "LVT0",
    "lvt1": "LVT1",
    "lvterr": "LVTERR",
}


def machine_of(
    controllers: InterruptControllers,
    *,
    version: str,
    arch: str,
    cpu: int = 0,
    like: ji.Machine | None = None,
) -> ji.Machine:
    """``cpu``: the one whose local APIC the model is about; the boot CPU for a jump.

    ``version``: the kernel's, as uname says it. ``like``: the same machine at another moment; all
    that a capture does not show is as it was there: wires, the kernel's facts, ``UNSEEN``.
    Raises InfraError where something could not be read.
    """
    lapic = controllers.lapics.get(cpu, {})
    pins = sum(1 for name in controllers.ioapic if name.startswith("redirection"))
    if not lapic or not pins or len(controllers.pics) != 2:
        raise InfraError("interrupt controllers: QEMU's monitor did not show all of them")
    if like is not None:
        machine = like.copy()
    else:
        machine = ji.Machine(version, arch, "qemu", [pins])
        machine["LAPIC ID"] = cpu << 24
        machine["LAPIC version"] = _QEMU_LAPIC_VERSION
    machine["LAPIC SPIV"] = lapic["spiv"]
    machine["LAPIC TPR"] = lapic["tpr"]
    machine["LAPIC ESR"] = lapic["esr"]
    # The monitor prints the logical id and the model alone, not the registers.
    machine["LAPIC LDR"] = lapic["ldr"] << 24
    machine["LAPIC DFR"] = lapic["dfr"] << 28 | 0x0FFFFFFF
    for name, register in _LVT.items():
        machine[f"LAPIC {register}"] = lapic[name]
    machine["LAPIC TMICT"] = lapic["initial_count"]
    tdcr = _TDCR.search(controllers.text[f"info lapic {cpu}"])
    if tdcr:
        machine["LAPIC TDCR"] = int(tdcr.group(1), 16)
    _copy_ioapic(controllers, machine, pins)
    for name, pic in zip(("master", "slave"), controllers.pics):
        for register, key in (("IMR", "imr"), ("IRR", "irr"), ("ISR", "isr"), ("ELCR", "elcr")):
            machine[f"8259 {name} {register}"] = pic[key]
        machine[f"8259 {name} vector base"] = pic["irq_base"]
    return machine


def _copy_ioapic(controllers: InterruptControllers, machine: ji.Machine, pins: int) -> None:
    for pin in range(pins):
        machine[f"IOAPIC 0 RTE {pin}"] = controllers.ioapic[f"redirection {pin}"]
    machine["IOAPIC 0 ID"] = controllers.ioapic["id"]
    version = _IOAPIC_VERSION.search(controllers.text["info pic"])
    if version:
        machine["IOAPIC 0 version"] = int(version.group(1), 16)


# 8254 read-back command: the status of channel 0; its answer's bits.
_READ_BACK_STATUS = 0xE2
_NULL_COUNT = 1 << 6
# Where QEMU's boards have the HPET, offsets of its registers, and bits there.
_HPET = 0xFED00000
_HPET_CONFIG, _HPET_TIMER0 = 0x10, 0x100
_HPET_ENABLE, _HPET_LEGACY, _HPET_TIMER_INTERRUPT = 1 << 0, 1 << 1, 1 << 2


def add_timers(machine: ji.Machine, monitor: Callable[[str], str]) -> None:
    """PIT and HPET by QEMU's human ``monitor``. The guest must stand still; its state is not
    changed: the PIT's status is latched, and read."""
    monitor(f"o /b 0x43 {_READ_BACK_STATUS:#x}")
    set_pit(machine, _answer(monitor, "i /b 0x40", r"= 0x([0-9a-f]+)"))
    set_hpet(
        machine,
        *(_word(monitor, _HPET + offset) for offset in (0, _HPET_CONFIG, _HPET_TIMER0)),
    )


def set_pit(machine: ji.Machine, status: int) -> None:
    """``status``: channel 0's, as the read-back command gives it."""
    mode = status >> 1 & 7
    machine["PIT mode"] = mode - 4 if mode > 5 else mode
    machine["PIT counting"] = int(not status & _NULL_COUNT)


def set_hpet(machine: ji.Machine, capabilities: int, config: int, timer0: int) -> None:
    """By the lower halves of the HPET's registers; where there is none the bus gives all ones, or
    zeros."""
    present = capabilities not in (0, 0xFFFFFFFF)
    machine["HPET present"] = int(present)
    machine["HPET enabled"] = int(present and bool(config & _HPET_ENABLE))
    machine["HPET legacy"] = int(present and bool(config & _HPET_LEGACY))
    machine["HPET timer 0"] = int(present and bool(timer0 & _HPET_TIMER_INTERRUPT))


def _word(monitor: Callable[[str], str], gpa: int) -> int:
    return _answer(monitor, f"xp /1wx {gpa:#x}", r": 0x([0-9a-f]+)")


def _answer(monitor: Callable[[str], str], command: str, pattern: str) -> int:
    text = monitor(command)
    found = re.search(pattern, text)
    if not found:
        raise InfraError(f"monitor command {command!r}: a number was expected, found {text!r}")
    return int(found.group(1), 16)


class KernelVariables:
    """Variables of the kernel that runs in ``life``, by symbol. It must stand still, with the
    kernel's page tables in use."""

    def __init__(self, life: Life, symbols: Symbols) -> None:
        self._life = life
        self._symbols = symbols
        self.word = 8 if symbols.arch == "x86_64" else 4
        self._code = range(symbols.address("_text"), symbols.address("_etext"))

    def _named(self, symbol: str) -> list[int]:
        """A variable may have a function as its namesake: irq_trigger in 5.10."""
        found = {address for address, _ in self._symbols.all(symbol)}
        return [address for address in found if address not in self._code]

    def has(self, symbol: str) -> bool:
        """Exactly one variable of that name: file-local ones may have namesakes."""
        return len(self._named(symbol)) == 1

    def address(self, symbol: str) -> int:
        found = self._named(symbol)
        return found[0] if len(found) == 1 else self._symbols.address(symbol)

    def has_function(self, symbol: str) -> bool:
        """What a configuration option leaves in the kernel shows that it is on."""
        return any(address in self._code for address, _ in self._symbols.all(symbol))

    def at(self, address: int, size: int) -> int:
        return int.from_bytes(self._life.read_virtual(address, size), "little")

    def number(self, symbol: str, size: int = 4, offset: int = 0) -> int:
        return self.at(self.address(symbol) + offset, size)

    def pointer(self, symbol: str, offset: int = 0) -> int:
        return self.number(symbol, self.word, offset)

    def write(self, address: int, value: int, size: int) -> None:
        self._life.write_virtual(address, (value % (1 << 8 * size)).to_bytes(size, "little"))


# struct apic_pm_state of arch/x86/kernel/apic/apic.c: 32-bit words in this order, after "active".
PM_STATE = (
    "apic_id",
    "apic_taskpri",
    "apic_ldr",
    "apic_dfr",
    "apic_spiv",
    "apic_lvtt",
    "apic_lvtpc",
    "apic_lvt0",
    "apic_lvt1",
    "apic_lvterr",
    "apic_tmict",
    "apic_tdcr",
    "apic_thmr",
    "apic_cmci",
)


def add_kernel(machine: ji.Machine, kernel: KernelVariables) -> None:
    """What the kernel found out at boot and what it has saved: the model's facts and memory."""
    pin = _signed(kernel.number("ioapic_i8259"))
    apic = _signed(kernel.number("ioapic_i8259", offset=4))
    machine.ioapic_i8259 = (apic, pin) if pin >= 0 else None
    null = kernel.pointer("legacy_pic") == kernel.address("null_legacy_pic")
    machine.nr_legacy_irqs = 0 if null else 16
    if kernel.word == 4:
        machine.pic_mode = bool(kernel.number("pic_mode"))
        machine.enabled_via_apicbase = bool(kernel.number("enabled_via_apicbase"))
    if kernel.has("irq_remapping_enabled"):
        machine.irq_remapping = bool(kernel.number("irq_remapping_enabled"))
    # arch/x86/include/asm/idtentry.h; arch/x86/kernel/cpu/mce/intel.c
    machine.thermal_vector = kernel.has_function("sysvec_thermal")
    machine.mce_intel = kernel.has_function("cmci_recheck")
    machine.cached_irq_mask = kernel.number("cached_irq_mask") & 0xFFFF
    machine.auto_eoi = bool(kernel.number("i8259A_auto_eoi"))
    # Not in QEMU's monitor: what the kernel has written there.
    machine["8259 master AEOI"] = int(machine.auto_eoi)
    machine.saved_elcr = [kernel.number("irq_trigger", 1, offset) for offset in (0, 1)]
    machine.saved_lapic = {
        name: kernel.number("apic_pm_state", 4, 4 * (index + 1))
        for index, name in enumerate(PM_STATE)
    }
    _add_saved_rtes(machine, kernel)
    _add_tick_devices(machine, kernel)


def saved_rtes_at(kernel: KernelVariables) -> tuple[int, int]:
    """Where the kernel keeps the first I/O APIC's entries (ioapics[0].saved_registers), 8 bytes
    each, and how many; (0, 0) if it keeps none."""
    return kernel.pointer("ioapics", kernel.word), kernel.number("ioapics")


def _add_saved_rtes(machine: ji.Machine, kernel: KernelVariables) -> None:
    base, count = saved_rtes_at(kernel)
    if base:
        machine.saved_rtes = [[kernel.at(base + 8 * pin, 8) for pin in range(count)]]
    # struct mpc_ioapic mp_config: type, apicid
    machine.ioapic_ids = [kernel.number("ioapics", 1, 2 * kernel.word + 1)]


def _add_tick_devices(machine: ji.Machine, kernel: KernelVariables) -> None:
    """What ticks for the boot CPU, and the broadcast device that may stand in for it. It is the
    LAPIC timer, but for a kernel that could not calibrate that: without ACPI's timer to measure by,
    on a busy host, its "APIC timer disabled due to verification failure" leaves the PIT, as tick
    device with one CPU, and with several for the broadcast to dummies."""
    pit = kernel.address("i8253_clockevent")
    device = _tick_device(kernel)
    if device is None:
        machine.tick = "none" if _is_dummy(kernel) else "lapic"
    else:
        machine.tick = "pit" if device == pit else "hpet"
    machine.tick_periodic = bool(machine["LAPIC LVTT"] & 1 << 17)
    device = kernel.pointer("tick_broadcast_device")
    if device == 0:
        machine.broadcast = "none"
    elif device == pit:
        # tick_suspend_broadcast() writes to a device only if it runs (clockevents_switch_state).
        state, _ = _clock_event(kernel, device)
        machine.broadcast = "none" if state in (_DETACHED, _SHUTDOWN) else "pit"
    else:
        machine.broadcast = "hpet"


def _tick_device(kernel: KernelVariables) -> int | None:
    """The boot CPU's clock event device: struct tick_device begins with the pointer to it. None:
    its LAPIC timer."""
    if not kernel.has("__per_cpu_offset"):
        return None  # without CONFIG_SMP: nobody has looked yet
    device = kernel.at(_of_boot_cpu(kernel, "tick_cpu_device"), kernel.word)
    return None if device in (0, _of_boot_cpu(kernel, "lapic_events")) else device


def _is_dummy(kernel: KernelVariables) -> bool:
    """The LAPIC's clock event device is one in name only."""
    if not kernel.has("__per_cpu_offset"):
        return False
    _, features = _clock_event(kernel, _of_boot_cpu(kernel, "lapic_events"))
    return bool(features & _DUMMY)


def _of_boot_cpu(kernel: KernelVariables, symbol: str) -> int:
    offset = kernel.pointer("__per_cpu_offset")
    return (kernel.address(symbol) + offset) % (1 << 8 * kernel.word)


_DETACHED, _SHUTDOWN, _STATES = 0, 1, 5  # enum clock_event_state
_DUMMY = 0x10  # CLOCK_EVT_FEAT_DUMMY


def _clock_event(kernel: KernelVariables, device: int) -> tuple[int, int]:
    """State and features, by struct clock_event_device (include/linux/clockchips.h): three
    pointers, since some version behind 6.12 four; next_event, max_delta_ns, min_delta_ns, 8 bytes
    each; then mult, shift, state and features, 4 bytes each."""
    for pointers in (3, 4):
        shift, state, features = (
            kernel.at(device + pointers * kernel.word + 24 + offset, 4) for offset in (4, 8, 12)
        )
        if 1 <= shift <= 32 and state < _STATES:
            return state, features
    raise InfraError(f"clock event device at {device:#x}: no known struct clock_event_device")


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value
