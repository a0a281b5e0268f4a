# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest itself shows of having lived on: nonces, workloads, timers, CPUs, its log.

Memory is never proved by asking the guest (the other oracles do that from outside); these checks
say that what was restored also runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.agent import Agent, AgentRefused
from harness.agent_state import (
    CounterState,
    AttemptResult,
    Nonce,
    TimerState,
    TmpfileState,
    WorkloadState,
)
from harness.errors import InfraError
from harness.known import first_of
from harness.machine import ConsoleLine, Life
from harness.results import Check, Finding

NONCE = "ram-nonce"
SPARE = "spare"  # a second planted page, for faults that need two harmless pages
COUNTER, TMPFILE, TIMER, LOAD = "counter", "tmpfile", "timer", "load"
TIMER_DELAY = 0.6  # guest seconds: armed just before the save, due about when it resumes
TIMER_LIMIT = 20.0  # seconds of the host to wait for it


@dataclass
class Planted:
    """What was in the guest before the save, and must be there after the resume."""

    life_nonce: str  # on A's kernel command line
    nonce: Nonce
    spare: Nonce
    cpus: int
    counter: CounterState
    load: str = ""


def plant(agent: Agent, *, value: str, life_nonce: str, cpus: int, seed: int, load: str) -> Planted:
    """Before the first save: nonces, the counter, the half-written file, the load."""
    nonce = agent.plant(NONCE, value)
    spare = agent.plant(SPARE, value[::-1])
    counter = agent.start_counter(COUNTER, value)
    agent.start_tmpfile(TMPFILE, seed=seed)
    if load == "memory":
        agent.start_memory(LOAD, megabytes=48, seed=seed)
    elif load == "cpu":
        agent.start_cpu(LOAD, seed=seed)
    elif load == "disk":
        agent.start_disk(LOAD, "/dev/vdb", seed=seed)
    return Planted(life_nonce, nonce, spare, cpus, counter, load)


def arm_timer(agent: Agent, cycle: int, latency: float) -> str:
    """A fresh set of timers for this cycle; the name to ask for.

    ``latency``: seconds that the agent took to answer a request just now. On a host so loaded that
    requests are slow, the timers must not be due before the save has begun.
    """
    name = f"{TIMER}-{cycle}"
    agent.start_timer(name, delay=TIMER_DELAY + 10 * latency)
    return name


class FiredEarly(InfraError):
    """The timers were due before the save or the jump had begun: nothing is proved by them."""


class LivenessChecks:
    """The checks after one resume; each returns a Check to record."""

    def __init__(self, agent: Agent, life: Life, cycle: int) -> None:
        self._agent = agent
        self._life = life
        self._cycle = cycle

    def hibernation(self, result: AttemptResult) -> Check:
        """The write to /sys/power/state returned, and returned success."""
        problems = [] if result.good else [f"the write to /sys/power/state returned {result.error}"]
        return self._check("hibernation returned success", "life", "restore", problems, 1)

    def nonces(self, planted: Planted) -> Check:
        """A's memory and A's command line, not those of a fresh boot."""
        problems = []
        try:
            found = self._agent.check(NONCE).value
        except AgentRefused as error:
            found = f"nothing ({error.code})"
        if found != planted.nonce.value:
            problems.append(
                f"the nonce planted in A's memory: expected {planted.nonce.value!r}, "
                f"found {found!r}"
            )
        hello = self._agent.hello()
        if hello.life != planted.life_nonce:
            problems.append(
                f"the nonce on the running kernel's command line: expected A's "
                f"{planted.life_nonce!r}, found {hello.life!r}"
            )
        return self._check("nonces of A are there", "nonce", "restore", problems, 2)

    def workloads(self, planted: Planted, before: CounterState) -> Check:
        """The counter went on where it was, the file is whole, the load found no error."""
        problems: list[str] = []
        counter = self._agent.query(COUNTER, CounterState)
        problems += counter.problems()
        if counter.nonce != planted.counter.nonce:
            problems.append(
                f"counter: expected nonce {planted.counter.nonce}, found {counter.nonce}"
            )
        if counter.pid != planted.counter.pid or counter.started_ns != planted.counter.started_ns:
            problems.append("counter: it is another process, or it was started anew")
        if counter.restarts != 0:
            problems.append(f"counter: restarted {counter.restarts} times")
        if counter.largest_step > 1:
            problems.append(f"counter: it jumped by {counter.largest_step}")
        if counter.count <= before.count:
            problems.append(f"counter: {before.count} before the save, {counter.count} after")
        problems += file_problems(self._agent.verify_tmpfile(TMPFILE))
        compared = 2
        if planted.load:
            problems += self._agent.query(LOAD, WorkloadState).problems()
            compared += 1
        return self._check("workloads went on", "workload", "check", problems, compared)

    def timer(self, name: str, result: AttemptResult) -> Check:
        """Armed before the save, fired after the resume; periodic ones tick. Raises FiredEarly."""
        deadline = time.monotonic() + min(TIMER_LIMIT, self._life.remaining())
        while True:
            state = self._agent.query(name, TimerState)
            if state.fired or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        problems = state.problems()
        for clock, shot in (
            ("CLOCK_MONOTONIC", state.monotonic),
            ("CLOCK_BOOTTIME", state.boottime),
            ("POSIX", state.posix),
        ):
            if not shot.fired:
                problems.append(f"{name}: the {clock} timer did not fire")
            elif shot.expirations != 1:
                problems.append(f"{name}: the {clock} timer fired {shot.expirations} times")
        if state.monotonic.fired and state.monotonic.fired_ns < result.monotonic_before_ns:
            # Nothing the kernel did wrong, and no proof either.
            raise FiredEarly(
                f"{name} fired before the save had begun: this host is too slow or too loaded for "
                "the timer check; run fewer machines at a time"
            )
        if state.ticks == 0:
            problems.append(f"{name}: the periodic timer never ticked")
        self._agent.stop(name)
        return self._check("timers fired", "workload", "check", problems, 4)

    def cpus(self, expected: int) -> Check:
        """Every CPU executes a process again."""
        proofs = self._agent.cpus()
        alive = [proof.cpu for proof in proofs if proof.alive]
        problems = []
        if len(alive) != expected:
            problems.append(f"expected {expected} running CPUs, found {alive}")
        return self._check("all CPUs run", "cpu", "check", problems, expected)

    def log(self, lives: list[Life]) -> Check:
        """No warning, oops or worse on the console of any life of this cycle."""
        problems = [
            f"life {life.record.index}: {line.text}"
            for life in lives
            for line in life.console_problems()
        ]
        listed = first_of(problems, 20)
        return self._check("the kernel's log is clean", "console", "check", listed, 1)

    def finished_file(self) -> Check:
        """The second half, through the descriptor that was opened before the first save."""
        problems = file_problems(self._agent.finish_tmpfile(TMPFILE))
        state = self._agent.query(TMPFILE, TmpfileState)
        if not state.finished:
            problems.append(f"tmpfile: {state.written} of {state.size} bytes were written")
        return self._check("the half-written file was finished", "workload", "check", problems, 1)

    def _check(
        self, name: str, oracle: str, stage: str, problems: list[str], compared: int
    ) -> Check:
        return Check(
            name=name,
            oracle=oracle,
            passed=not problems,
            cycle=self._cycle,
            compared=compared,
            detail=problems[0] if problems else "",
            findings=[
                Finding(oracle, stage, problem, cycle=self._cycle, life=self._life.record.index)
                for problem in problems
            ],
        )


def file_problems(state: TmpfileState) -> list[str]:
    problems = state.problems()
    for way, offset in (("descriptor", state.first_bad_fd), ("path", state.first_bad_path)):
        if offset is not None:
            problems.append(f"{state.path}: read by {way}, the first bad byte is at {offset}")
    return problems


def check_cold_boot(life: Life) -> Check:
    """The life's own nonce was on its console: a kernel really booted before it resumed."""
    nonce = life.record.nonce
    seen = any(
        isinstance(event, ConsoleLine)
        and "ommand line: " in event.text  # "Command" or "Kernel command"
        and f"={nonce}" in event.text
        for event in life.events()
    )
    check = Check(
        "a cold-booted kernel resumed", "nonce", seen, cycle=life.record.cycle, compared=1
    )
    if not seen:
        check.detail = f"the console never showed this life's command line with nonce {nonce}"
        check.findings.append(
            Finding("nonce", "load-image", check.detail, life.record.cycle, life.record.index)
        )
    return check
