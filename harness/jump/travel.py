# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kernels in one machine and the jumps between them: A, which is booted, and B, which A loads.

Each jump is one Crossing: the kernel that leaves, proved at its last instruction, and the one that
is entered, proved at its first, whether it is fresh or was left by a jump of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jumpback_relocation as relocation

from harness.agent import Agent
from harness.agent_state import AttemptResult, CounterState
from harness.context import RunContext
from harness.guest_link import GuestLink
from harness.jump.departure import Departure
from harness.jump.kexec_tools import (
    KEXEC_TOOLS,
    load_with_kexec_tools,
    way_back_with_kexec_tools,
)
from harness.jump.loader import Loaded, load_kernel, load_way_back
from harness.jump.options import JumpOptions, command_line, limit
from harness.jump.proof import AT_C, AT_ENTRY, AT_MAPPED, JumpProof
from harness.jump.side import Side
from harness.jump.tampers import JumpTamper
from harness.kexec.guest_view import GuestView
from harness.known import first_of
from harness.machine import GuestSaid, Life
from harness.oracles.jump_interrupts import InterruptProof
from harness.oracles.jump_trace import TraceRecorder
from harness.oracles.liveness import COUNTER, LivenessChecks, Planted, plant
from harness.results import Check, Finding

if TYPE_CHECKING:
    from harness.jump.site import JumpSite

Moment = Callable[[], None]


def _nothing() -> None:
    """Nobody wants to do anything there."""


@dataclass
class Kernel:
    """One of the two. ``side``: what is known of it from outside; from its first jump on."""

    role: str
    nonce: str  # on its command line
    side: Side | None = None
    attempt: str = ""  # its jump that has not come back
    departure: Departure | None = None  # of that jump
    trace: TraceRecorder | None = None
    interrupts: InterruptProof | None = None  # of that jump
    planted: Planted | None = None
    counter: CounterState | None = None  # as it was last seen
    jumps: int = 0


@dataclass
class Moments:
    """What somebody else does at the stops of a crossing, the machine standing still."""

    entering: Moment = _nothing  # at the callee's first instruction, before its proof
    entered: Moment = _nothing  # the same, after it
    arriving: Moment = _nothing  # memory is swapped back, before its proof
    in_c: Moment = _nothing  # back in machine_kexec(), before its proof
    arrived: Moment = _nothing  # the same, after it

    @classmethod
    def of(cls, tamper: JumpTamper, site: JumpSite) -> Moments:
        return cls(
            entering=lambda: tamper.at_entry(site),
            entered=lambda: tamper.entered(site),
            arriving=lambda: tamper.at_return(site),
            in_c=lambda: tamper.in_c(site),
            arrived=lambda: tamper.returned(site),
        )


# By the proof's names of its stops.
_AT: dict[str, Callable[[Moments], Moment]] = {
    AT_ENTRY: lambda moments: moments.entering,
    AT_MAPPED: lambda moments: moments.arriving,
    AT_C: lambda moments: moments.in_c,
}


def _no_moment(_: Moments) -> Moment:
    return _nothing


def load_b(context: RunContext, options: JumpOptions, link: GuestLink, nonce: str) -> Loaded:
    """In A, which runs."""
    words = b_command_line(context, options, nonce)
    with link.asking() as agent:
        if options.loader == KEXEC_TOOLS:
            return load_with_kexec_tools(agent, options.window, words)
        return load_kernel(agent, options.window, words)


def b_command_line(context: RunContext, options: JumpOptions, nonce: str) -> str:
    append = options.tamper.append_to_b if options.tamper is not None else ""
    return command_line(context, options, "maxcpus=1", f"jumpback.life={nonce}", append)


@dataclass
class Travel:
    context: RunContext
    options: JumpOptions
    life: Life
    link: GuestLink
    proof: JumpProof
    a: Kernel
    b: Kernel
    loaded: Loaded | None = None
    running: Kernel = field(init=False)

    def __post_init__(self) -> None:
        self.running = self.a

    @classmethod
    def begin(
        cls, context: RunContext, options: JumpOptions, life: Life, link: GuestLink | None = None
    ) -> Travel:
        """``life`` stands still: before its first instruction, or, with a ``link``, with A up."""
        link = link or GuestLink(life, context.options.time_scale)
        proof = JumpProof(context, life)
        a = Kernel("A", life.record.nonce)
        b = Kernel("B", f"{context.random.getrandbits(64):016x}")
        return cls(context, options, life, link, proof, a, b)

    @contextlib.contextmanager
    def stage(self, name: str, *, note: str = "") -> Iterator[None]:
        """``note``: behind the name, where a run has many of a kind."""
        title = f"{name} {note}".strip()
        with self.life.stage(title, limit(self.context, self.options, name)):
            yield

    @property
    def jumps(self) -> int:
        return self.a.jumps + self.b.jumps

    def close(self) -> None:
        self.proof.close()
        self.link.close()

    # In the kernel that runs

    def boot(self) -> None:
        """A, up to its agent's first word."""
        with self.stage("boot"):
            self.life.resume()
            self.await_hello()

    def plant_in_a(self) -> None:
        """What must outlive the jumps; once B is loaded, for a counter takes its share of the CPU.
        The machine may stand still yet."""
        self.life.resume()
        with self.stage("plant"), self.link.asking() as agent:
            self.a.planted = self._plant(agent, self.a, self.context.options.cpus)

    def load(self) -> None:
        """B, if a snapshot has not got it already."""
        with self.stage("load"):
            if self.loaded is None:
                self.loaded = load_b(self.context, self.options, self.link, self.b.nonce)
            with self.life.paused():
                self.a.side = self.look(self.a)

    def look(self, kernel: Kernel) -> Side:
        """At the kernel that runs now; the machine stands still."""
        context = self.context
        return Side(
            kernel.role,
            context.symbols,
            GuestView(self.life, context.symbols),
            context.kernel.release,
            context.kernel.fixed,
            self._frames_of_b() if kernel is self.b else None,
        )

    def _frames_of_b(self) -> relocation.Frames:
        """B lives in the window, and in what it was given below 640 KiB."""
        departure = self.a.departure
        assert departure is not None
        return departure.destinations

    def await_hello(self) -> None:
        self.life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "hello")

    def load_way_back(self) -> int:
        """In B, the first time: the image that leads back to A. Returns its entry."""
        with self.stage("way-back"), self.link.asking() as agent:
            if self.options.loader == KEXEC_TOOLS:
                entry = way_back_with_kexec_tools(agent)
            else:
                entry = load_way_back(agent)
            if self.b.side is None:
                with self.life.paused():
                    self.b.side = self.look(self.b)
        return entry

    def plant_in_b(self) -> None:
        with self.stage("plant", note="in B"), self.link.asking() as agent:
            self.b.planted = self._plant(agent, self.b, 1)

    def _plant(self, agent: Agent, kernel: Kernel, cpus: int) -> Planted:
        return plant(
            agent,
            value=f"{self.context.random.getrandbits(64):016x}",
            life_nonce=kernel.nonce,
            cpus=cpus,
            seed=self.context.result.seed,
            load="",
        )

    # Jumps

    def cross(
        self, moments: Moments | None = None, *, trace: bool = True, note: str = ""
    ) -> AttemptResult | None:
        """The running kernel jumps into the other one. What the other one's own jump returned, if
        it had made one. ``note``: behind the stages' names, where a run has many jumps."""
        at = moments or Moments()
        origin = self.running
        target = self.b if origin is self.a else self.a
        assert origin.side is not None, "nothing was loaded"
        note = f"{origin.role} to {target.role}{', ' if note else ''}{note}"
        if trace:
            self._trace(origin)
        with self.stage("departure", note=note):
            self.context.reached_target()
            self.proof.arm(origin.side)
            with self.link.asking() as agent:
                origin.attempt = agent.jump()
            origin.jumps += 1
            number = self.jumps
            origin.interrupts = InterruptProof(self.context, self.life, origin.side, cycle=number)
            origin.interrupts.run_to_suspend()
            origin.interrupts.before_suspend()
            self.proof.cycle = number
            self.proof.at_stop = lambda what: _AT.get(what, _no_moment)(at)()
            origin.departure = self.proof.depart(origin.side)
            origin.interrupts.at_departure()
        with self.stage("callee-entry", note=note):
            self.proof.enter(origin.departure)
            origin.interrupts.at_entry()
            at.entered()
            if origin.trace is not None:
                origin.trace.pause()  # the rest of it comes when somebody jumps back
        result = None
        self.running = target
        if target.departure is None:
            with self.stage("callee", note=f"{target.role} boots"):
                self.life.resume()
                self.await_hello()
        else:
            with self.stage("return", note=note):
                self.proof.reenter(target.departure)
                self.proof.arrive(target.departure)
                target.departure = None
                at.arrived()
                if target.trace is not None:
                    target.trace.start()
            with self.stage("resume", note=target.role):
                assert target.interrupts is not None
                target.interrupts.run_to_resumed()
                target.interrupts.after_resume()
                self.life.resume()
                with self.link.asking() as agent:
                    result = agent.wait_jumped(target.attempt, self.life.remaining())
            self._judge_trace(target)
        return result

    def _trace(self, kernel: Kernel) -> None:
        context = self.context
        if kernel.trace is None:
            kernel.trace = TraceRecorder(
                self.life,
                context.symbols,
                context.kernel.arch,
                context.kernel.release,
                cycle=self.jumps + 1,
            )
        kernel.trace.start()

    def _judge_trace(self, kernel: Kernel) -> None:
        """Of the jump that has come back."""
        if kernel.trace is not None:
            self.context.record(kernel.trace.check(kernel.trace.stop()))
            kernel.trace = None

    # What must have gone on

    def check_result(self, kernel: Kernel, result: AttemptResult) -> None:
        problems = (
            [] if result.good else [f"reboot(KEXEC) in {kernel.role} returned {result.error}"]
        )
        self.fail_or_pass("the jump returned success", "life", "resume", problems)

    def check_running(self, kernel: Kernel) -> None:
        """Nonces, workloads, CPUs of the kernel that runs now."""
        assert kernel.planted is not None
        with self.link.asking() as agent:
            checks = LivenessChecks(agent, self.life, kernel.jumps)
            self.context.record(checks.nonces(kernel.planted))
            before = kernel.counter or kernel.planted.counter
            self.context.record(checks.workloads(kernel.planted, before))
            kernel.counter = agent.query(COUNTER, CounterState)
            self.context.record(checks.cpus(kernel.planted.cpus))

    def check_log(self) -> None:
        problems = [line.text for line in self.life.console_problems()]
        listed = first_of(problems, 20)
        self.fail_or_pass("the log of both kernels is clean", "console", "check", listed)

    def fail_or_pass(self, name: str, oracle: str, stage: str, problems: list[str]) -> None:
        number = self.life.record.index
        findings = [Finding(oracle, stage, problem, life=number) for problem in problems]
        detail = problems[0] if problems else ""
        self.context.record(
            Check(name, oracle, not problems, compared=1, detail=detail, findings=findings)
        )
