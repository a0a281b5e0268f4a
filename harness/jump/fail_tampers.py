# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that ``jump-fail-step`` puts into its own runs, each with the check that must find it.

`jumpback run jump-fail-step --tamper NAME` must end FAIL, with the first finding where it says here
(scenarios/tests/test_jump_fail_step.py holds it to that).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.verdict import Verdict

if TYPE_CHECKING:  # names of faults are listed where native modules may not be built
    from harness.agent import Agent
    from harness.jump.fail_inject import Injector
    from harness.oracles.jump_trace import JumpTrace

Done = Callable[[str], None]  # takes what the fault did, for the report
# Workloads, by name. The timers of a step are TIMER and its number.
COUNTER, DISK, TIMER = "counter", "disk", "timer-1"

InGuest = Callable[["Agent", Done], None]


def _nothing_in_guest(_: Agent, __: Done) -> None:
    """Most faults are put in from outside."""


def _trace_as_it_is(_: JumpTrace, __: Done) -> None:
    """Most faults leave the record alone."""


def _not_from_outside(_: Injector, __: Done) -> None:
    """Most faults need no standing machine."""


@dataclass(frozen=True)
class FailTamper:
    name: str
    summary: str
    oracle: str  # of the first finding
    step: str  # the step that it is about, and the stage that is blamed
    check: str  # that fails first; the start of its name
    cpus: int = 1  # that the machine must have at least
    verdict: Verdict = Verdict.FAIL
    blind: bool = False  # nothing is injected
    skip: frozenset[str] = field(default_factory=frozenset)  # calls that are passed over unseen
    errno: str = ""  # that the call is said to have returned
    at_trace: Callable[[JumpTrace, Done], None] = _trace_as_it_is  # before it is judged
    at_stop: Callable[[Injector, Done], None] = _not_from_outside  # kernel_kexec()'s last one
    before_jump: InGuest = _nothing_in_guest
    after_return: InGuest = _nothing_in_guest  # before anything is asked

    @property
    def expect(self) -> str:
        return f"{self.verdict.value}, oracle {self.oracle}, stage {self.step}"

    def prepare(self, injector: Injector, step: str, done: Done) -> None:
        """Before the jump in which ``step`` fails."""
        mine = step == self.step
        injector.blind = self.blind and mine
        injector.skip = self.skip if mine else frozenset()
        if mine and self.blind:
            done(f"{step} was not made to fail")
        if mine and self.skip:
            done(f"{', '.join(sorted(self.skip))} was passed over")


def _lose_step(trace: JumpTrace, done: Done) -> None:
    at = next(i for i, step in enumerate(trace.steps) if step.step == "thaw-processes")
    done(f"step {at} of the trace, {trace.steps[at].text()}, was lost")
    del trace.steps[at]


def _hold_lock(injector: Injector, done: Done) -> None:
    injector.hold_lock()
    done("kexec's lock was taken")


def _run(command: str) -> InGuest:
    def run(agent: Agent, done: Done) -> None:
        agent.run(command)
        done(command)

    return run


def _kill(workload: str) -> InGuest:
    """Not by the agent's STOP, which would know of it."""

    def run(agent: Agent, done: Done) -> None:
        pid = agent.query(workload).pid
        agent.run(f"kill -9 {pid}")
        done(f"workload {workload}, process {pid}, was killed")

    return run


_LATE, _CPUS, _SYSCORE = "suspend-devices-late", "disable-cpus", "suspend-syscore"
_DEVICES = "suspend-devices"

_ALL = (
    FailTamper(
        "no-failure",
        "the step is not made to fail: the jump is made",
        "jump-trace",
        "freeze-processes",
        "the jump's steps",
        blind=True,
    ),
    FailTamper(
        "lost-step",
        "the record of what ran loses a step",
        "jump-trace",
        _LATE,
        "the jump's steps",
        at_trace=_lose_step,
    ),
    FailTamper(
        "device-suspended",
        "the devices that dpm_suspend_start() suspended are not resumed",
        "devices",
        _DEVICES,
        "no device is left",
        skip=frozenset({"resume-devices"}),
    ),
    FailTamper(
        "cpus-left-offline",
        "the CPUs that were taken down are not brought up again",
        "kernel-state",
        _CPUS,
        "the kernel's switches",
        cpus=2,
        skip=frozenset({"enable-cpus"}),
    ),
    FailTamper(
        "errno",
        "the call is said to have returned another error",
        "life",
        _LATE,
        "reboot() returns",
        errno="EPERM",
    ),
    FailTamper(
        "cpu-offline",
        "a CPU is taken down behind the jump's back",
        "cpu",
        _CPUS,
        "all CPUs run",
        cpus=2,
        after_return=_run("echo 0 > /sys/devices/system/cpu/cpu1/online"),
    ),
    FailTamper(
        "counter",
        "a workload dies while the jump is refused",
        "workload",
        _LATE,
        "workloads went on",
        before_jump=_kill(COUNTER),
    ),
    FailTamper(
        "disk",
        "the process that writes and reads the disk dies",
        "disk",
        _LATE,
        "the disk is written",
        after_return=_kill(DISK),
    ),
    FailTamper(
        "timer",
        "the process that waits for the timers dies",
        "workload",
        "freeze-processes",
        "timers fired",
        after_return=_kill(TIMER),
    ),
    FailTamper(
        "silent-console",
        "the console shows nothing any more",
        "console",
        _SYSCORE,
        "the console works",
        after_return=_run("dmesg -n 1"),
    ),
    FailTamper(
        "lock-held",
        "an image is being loaded by somebody else, who never ends",
        "kexec-lock",
        _SYSCORE,
        "the lock is free",
        at_stop=_hold_lock,
    ),
    FailTamper(
        "log",
        "the kernel's log tells of a bug",
        "console",
        "take-lock",
        "the kernel's log is clean",
        after_return=_run("echo '<2>BUG: made by the rig' > /dev/kmsg"),
    ),
)

FAIL_TAMPERS: dict[str, FailTamper] = {tamper.name: tamper for tamper in _ALL}
