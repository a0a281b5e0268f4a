# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes one step of kernel_kexec()'s jump fail, from outside, at the instruction that makes it.

Nothing stops for longer than it takes to write a register: the injection is a breakpoint's
condition. The way in which a step fails follows what the real one leaves behind when it fails:
what undoes itself (docs/jump-sequence.md) is not made at all; what does not is made, and then its
caller is told that it failed, as if the last device or the last CPU had refused.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import InfraError
from harness.jump.fail_state import KernelState, StateReader
from harness.machine import Life
from harness.machine.breakpoints import Condition, Hit
from harness.oracles.jump_sites import Kind, Site, Sites, sites_of
from harness.oracles.shared_stops import SharedStops
from harness.symbols import Symbols

EIO = 5
_CALL = 0xE8  # call rel32
_CALL_BYTES = 5
_HELD = 1  # __kexec_lock
_HELD_MUTEX = 0x40  # kexec_mutex.owner: some task, which is never looked at, and no flags


class How(enum.Enum):
    REFUSES = "is not made, and -EIO is returned"
    FAILS_LATE = "is made, and -EIO is returned then"
    DEVICE = "a device in the middle of the list returns -EIO"
    LOCK_HELD = "finds the lock taken"
    NO_IMAGE = "finds no image: it was unloaded"


@dataclass(frozen=True)
class Step:
    """``fails``: the model's id of the step that fails. ``driver``: DEVICE: the bus's callback that
    one of its devices returns from at once."""

    how: How
    fails: str
    driver: str = ""


# In the order in which a run makes them fail: what a known defect of upstream kills comes last.
STEPS: dict[str, Step] = {
    "take-lock": Step(How.LOCK_HELD, "take-lock"),
    "find-image": Step(How.NO_IMAGE, "find-image"),
    "freeze-processes": Step(How.REFUSES, "freeze-processes"),
    "suspend-devices-late": Step(How.REFUSES, "suspend-devices-late"),
    "refusing-device-late": Step(How.DEVICE, "suspend-devices-late", "pci_pm_freeze_noirq"),
    "disable-cpus": Step(How.FAILS_LATE, "disable-cpus"),
    "suspend-syscore": Step(How.REFUSES, "suspend-syscore"),
    "refusing-device": Step(How.DEVICE, "suspend-devices", "pci_pm_freeze"),
    "suspend-devices": Step(How.FAILS_LATE, "suspend-devices"),
}
_REFUSER = 2  # which device of the bus, in the order in which they are asked


@dataclass
class Refusal:
    """One call of kernel_kexec() in which a step was made to fail."""

    step: str
    asked: int = 0  # devices
    injected: int = 0
    before: KernelState | None = None  # at its first instruction
    after: KernelState | None = None  # at its last one


class Injector:
    """``skip``: steps that are passed over unseen, for tampers; ``blind``: nothing is injected."""

    def __init__(self, life: Life, symbols: Symbols, release: str) -> None:
        self._life = life
        self._sites: Sites = sites_of(symbols, release)
        self._symbols = symbols
        self._entry = symbols.address("kernel_kexec")
        self._reader = StateReader(symbols)
        self._word = 8 if symbols.arch == "x86_64" else 4
        self._mutex = not symbols.all("__kexec_lock")  # it has kexec_mutex instead
        self._held_bytes = 4  # that were written over the lock
        self._watchers: dict[int, Condition] = {}
        self._refusal = Refusal("")
        self.skip: frozenset[str] = frozenset()
        self.blind = False

    def arm(self, step: str) -> Refusal:
        """Before any recorder starts, whose watchers then see what was injected. The machine will
        stop at kernel_kexec()'s last instruction."""
        self._refusal = Refusal(step)
        self._watchers = {self._entry: self._enter}
        for address, sites in self._sites.at.items():
            actions = [action for site in sites for action in self._actions(site, step)]
            if actions:
                self._watchers[address] = _together(actions)
        driver = STEPS[step].driver
        if driver and not self.blind:
            self._watchers[self._symbols.address(driver)] = self._refuse_device
        SharedStops.of(self._life).add(self._watchers)
        return self._refusal

    def disarm(self) -> None:
        """The machine may stand still."""
        SharedStops.of(self._life).remove(self._watchers)
        self._watchers = {}

    def hold_lock(self) -> None:
        """For tampers; the machine stands still."""
        held, size = (_HELD_MUTEX, self._word) if self._mutex else (_HELD, 4)
        self._life.write_virtual(self._sites.lock, held.to_bytes(size, "little"))

    def _actions(self, site: Site, step: str) -> Iterator[Condition]:
        if site.kind is Kind.RETURN:
            yield self._leave
        if site.machine:
            return
        if site.kind is Kind.STEP and site.step in self.skip:
            yield self._pass_over
        how = STEPS[step].how
        if self.blind:
            return
        # Which mutex it is, and so which step, only the argument says.
        if how is How.LOCK_HELD and site.kind is Kind.MUTEX and site.symbol != "mutex_unlock":
            yield self._hold_lock
        if site.step != STEPS[step].fails:
            return
        if how is How.REFUSES and site.kind is Kind.STEP:
            yield self._pass_over
        if how in (How.REFUSES, How.FAILS_LATE) and site.kind is Kind.RESULT:
            yield self._fail
        if how is How.LOCK_HELD and site.kind is Kind.LOCK:
            yield self._hold_lock

    def _enter(self, hit: Hit) -> bool:
        self._refusal.before = self._reader.read(hit)
        return False

    def _leave(self, hit: Hit) -> bool:
        if STEPS[self._refusal.step].how is How.LOCK_HELD and self._refusal.injected:
            hit.gdb.write_memory(hit.thread, self._sites.lock, bytes(self._held_bytes))
        self._refusal.after = self._reader.read(hit)
        return True

    def _pass_over(self, hit: Hit) -> bool:
        """The call is not made. QEMU stops at the next instruction if it has a breakpoint."""
        code = hit.read_virtual(hit.address, 1)
        if code[0] != _CALL:
            raise InfraError(f"{hit.address:#x} is no call of five bytes: {code.hex()}")
        hit.gdb.write_register(hit.thread, "rip", hit.address + _CALL_BYTES)
        return False

    def _refuse_device(self, hit: Hit) -> bool:
        """At the callback's first instruction: it returns at once."""
        self._refusal.asked += 1
        if self._refusal.asked == _REFUSER:
            back = hit.return_address(self._word)
            hit.gdb.write_register(hit.thread, "rsp", hit.register("rsp") + self._word)
            hit.gdb.write_register(hit.thread, "rip", back)
            self._fail(hit)
        return False

    def _fail(self, hit: Hit) -> bool:
        hit.gdb.write_register(hit.thread, "rax", -EIO % (1 << 8 * self._word))
        self._refusal.injected += 1
        return False

    def _hold_lock(self, hit: Hit) -> bool:
        mutex = any(site.kind is Kind.MUTEX for site in self._sites.at[hit.address])
        if mutex:
            argument = hit.register("rdi" if self._word == 8 else "rax")
            if argument & (1 << 8 * self._word) - 1 != self._sites.lock:
                return False
        held = _HELD_MUTEX if mutex else _HELD
        self._held_bytes = self._word if mutex else 4
        data = held.to_bytes(self._held_bytes, "little")
        hit.gdb.write_memory(hit.thread, self._sites.lock, data)
        self._refusal.injected += 1
        return False


def _together(actions: list[Condition]) -> Condition:
    return lambda hit: any([action(hit) for action in actions])
