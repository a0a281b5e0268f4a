# SPDX-License-Identifier: GPL-2.0-or-later
"""What must work in a kernel whose jump was refused, as in one whose jump came back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from harness.agent import Agent
from harness.agent_state import AttemptResult, CounterState, DiskState
from harness.context import RunContext
from harness.jump.fail_inject import Refusal
from harness.jump.fail_state import devices_left, switches_changed
from harness.jump.fail_tampers import DISK
from harness.kexec.calls import Call
from harness.kexec.loader import make_calls
from harness.machine import ConsoleLine, Life
from harness.oracles.liveness import COUNTER, FiredEarly, LivenessChecks, Planted
from harness.results import Check, Finding

_TURNS = (20, 200, 1000)  # guest ms that each CPU is given to execute something
TIMER_DELAY = 0.1  # guest seconds from before the jump on; usual: a refused jump takes 0.05
_SHOWS = 10.0  # seconds, for a line to come through the console, or a block to the disk
_STEP = 0.01  # seconds between two looks
# Said of a check that proves less than it should.
_WEAKER = (
    "only timers that were armed behind the jump: those from before it fired before it had begun"
)


class FailChecks:
    """Of one step's refusal, or of the clean jump behind them; ``stage`` names it."""

    def __init__(self, context: RunContext, life: Life, stage: str, number: int) -> None:
        self._context = context
        self._life = life
        self._stage = stage
        self._number = number

    def timer_name(self) -> str:
        return f"timer-{self._number}"

    def arm_timer(self, agent: Agent) -> None:
        """Due during the refusal or right behind it."""
        began = time.monotonic()
        agent.hello()
        latency = time.monotonic() - began
        agent.start_timer(self.timer_name(), delay=TIMER_DELAY + 10 * latency)

    # From outside, where kernel_kexec() is about to return

    def stands(self, refusal: Refusal) -> bool:
        """Whether the kernel can be expected to go on: the devices are awake."""
        before, after = refusal.before, refusal.after
        assert before is not None and after is not None
        left = devices_left(before, after)
        self._record("no device is left suspended", "devices", left, sum(before.devices.values()))
        changed = switches_changed(before, after)
        self._record(
            "the kernel's switches are as before", "kernel-state", changed, len(before.switches)
        )
        return not left

    # In the guest

    def returned(self, result: AttemptResult, wanted: str) -> None:
        """``wanted``: the error's name; "" for success."""
        found = result.error if result.errno else ""
        problems = []
        if not result.returned or found != wanted:
            problems.append(
                f"reboot(LINUX_REBOOT_CMD_KEXEC) returned {found or 'success'}, "
                f"expected {wanted or 'success'}"
            )
        self._record("reboot() returns the step's error", "life", problems, 1)

    def all(
        self,
        agent: Agent,
        planted: Planted,
        before: tuple[CounterState, DiskState],
        result: AttemptResult,
        reload: Call,
    ) -> None:
        """``before``: the jump. ``reload``: the image, to be loaded again."""
        liveness = LivenessChecks(agent, self._life, 0)
        self.cpus(agent, planted.cpus)
        self._take(liveness.workloads(planted, before[0]))
        self.disk(agent, before[1])
        self.timer(agent, liveness, result)
        self.console(agent)
        self.lock(agent, reload)
        self.log()

    def cpus(self, agent: Agent, expected: int) -> None:
        """Every CPU executes a process. On a loaded host one may need more than some ms to."""
        alive: list[int] = []
        for milliseconds in _TURNS:
            alive = [proof.cpu for proof in agent.cpus(milliseconds) if proof.alive]
            if len(alive) == expected:
                break
        problems = []
        if len(alive) != expected:
            problems.append(f"expected {expected} running CPUs, found {alive}")
        self._record("all CPUs run", "cpu", problems, expected)

    def timer(self, agent: Agent, liveness: LivenessChecks, result: AttemptResult) -> None:
        try:
            check = liveness.timer(self.timer_name(), result)
        except FiredEarly:  # on a loaded host
            agent.stop(self.timer_name())
            agent.start_timer(self.timer_name(), delay=TIMER_DELAY)
            check = liveness.timer(self.timer_name(), result)
            check.detail = "; ".join(filter(None, [_WEAKER, check.detail]))
        self._take(check)

    def disk(self, agent: Agent, before: DiskState) -> None:
        """Blocks are written and read back now, past every cache of the guest."""
        now = agent.query(DISK, DiskState)

        def more() -> bool:
            nonlocal now
            now = agent.query(DISK, DiskState)
            return bool(now.problems()) or now.writes > first.writes and now.reads > first.reads

        first = now
        moved = self._until(more)
        problems = now.problems()
        if not moved:
            problems.append(f"{now.writes} blocks were written, and no more come")
        if not now.direct:
            problems.append(f"{now.device} was not written past the page cache")
        if now.writes < before.writes:
            problems.append(f"{before.writes} blocks before the jump, {now.writes} after")
        self._record("the disk is written and read back", "disk", problems, now.writes)

    def console(self, agent: Agent) -> None:
        """The kernel's own lines, and those of user space, come out of the serial port."""
        problems = []
        for place, words in (("/dev/kmsg", "kernel"), ("/dev/console", "user space")):
            mark = f"jumpback-{self._number}-{words.split()[0]}-shows"
            agent.run(f"echo {mark} > {place}")
            if not self._until(lambda: self._shown(mark)):
                problems.append(f"the console never showed a line of the {words}'s")
        self._record("the console works", "console", problems, 2)

    def lock(self, agent: Agent, reload: Call) -> None:
        (said,) = make_calls(agent, [reload])
        problems = [] if said == "0" else [f"kexec_load of the same image returned {said}"]
        self._record("the lock is free: an image can be loaded", "kexec-lock", problems, 1)

    def log(self) -> None:
        problems = [line.text for line in self._life.console_problems()][:20]
        self._record("the kernel's log is clean", "console", problems, 1)

    def _shown(self, mark: str) -> bool:
        return any(
            isinstance(event, ConsoleLine) and mark in event.text
            for event in reversed(self._life.events())
        )

    def _until(self, there: Callable[[], bool]) -> bool:
        end = time.monotonic() + _SHOWS * self._context.options.time_scale
        while not there():
            if time.monotonic() > end:
                return False
            time.sleep(_STEP)
        return True

    def _take(self, check: Check) -> None:
        """Another's check, with the stage of this one."""
        check.findings = [replace(finding, stage=self._stage) for finding in check.findings]
        self._context.record(check)

    def _record(self, name: str, oracle: str, problems: list[str], compared: int) -> None:
        number = self._life.record.index
        self._context.record(
            Check(
                name,
                oracle,
                not problems,
                compared=compared,
                detail=problems[0] if problems else "",
                findings=[Finding(oracle, self._stage, text, life=number) for text in problems],
            )
        )


def look(agent: Agent) -> tuple[CounterState, DiskState]:
    return agent.query(COUNTER, CounterState), agent.query(DISK, DiskState)
