# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of a jump-call run: A loads one payload after the other and calls each a few times."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import jumpback_relocation as relocation

from harness.agent import Agent
from harness.agent_state import AttemptResult, CounterState
from harness.context import RunContext
from harness.guest_image import build_guest
from harness.guest_link import GuestLink
from harness.jump.call_checks import CallChecks
from harness.jump.call_options import LIMITS, CallOptions, command_line
from harness.jump.call_payload import KINDS, Payload, build_payload, layout_for
from harness.jump.call_result import Orders
from harness.jump.call_site import CallSite
from harness.jump.call_tampers import CallTamper
from harness.jump.proof import JumpProof, NotReached
from harness.jump.setup import require_jump, run_story
from harness.jump.side import Side
from harness.jump.sockets import one_cpu_a_socket
from harness.kexec.calls import PAGE
from harness.kexec.guest_view import GuestView
from harness.kexec.kimage_struct import installed
from harness.kexec.loader import guest_files, make_calls
from harness.kexec.session import UNLOAD
from harness.machine import GuestSaid, Life, MachineConfig
from harness.machine.interrupts import InterruptControllers
from harness.oracles.interrupts import check_interrupts
from harness.oracles.jump_interrupts import InterruptProof
from harness.oracles.jump_trace import TraceRecorder
from harness.oracles.liveness import (
    COUNTER,
    LivenessChecks,
    Planted,
    arm_timer,
    plant,
)
from harness.results import Check, Finding

_HIGHEST = 1 << 30  # guest physical: payloads lie below it, however much RAM there is
_START_WORD = 3  # of struct kimage: image->start
# pfns of 0xe0000 to 0xfffff: the BIOS's code, its variables and the stack that some services run
# on. The firmware's map has it as reserved; no kernel uses it. The rest of low memory (vectors,
# data areas of the BIOS) is A's: no service that the payload calls has to write there.
_BIOS_FRAMES = range(0xE0, 0x100)


class JumpCallStory:
    def __init__(self, context: RunContext, options: CallOptions) -> None:
        self._context = context
        self._options = options
        self._tamper = options.tamper or CallTamper("", "")
        self._done: list[str] = []
        self._payloads: list[Payload] = []
        self._calls = 0  # in this run
        self._timer = ""  # name of the timers that were armed before the last call
        self._life: Life
        self._link: GuestLink
        self._proof: JumpProof
        self._planted: Planted

    def run(self) -> None:
        """Records checks in the context's result."""
        context = self._context
        require_jump(context)
        arch, progress = context.kernel.arch, context.progress
        files = guest_files(arch, progress=progress)
        for name in self._options.payloads:
            kind = KINDS[name]
            layout = layout_for(kind, min(context.options.memory_mib << 20, _HIGHEST))
            self._payloads.append(build_payload(kind, arch, layout, progress=progress))
            files |= self._payloads[-1].guest_file()
        config = MachineConfig(
            bzimage=context.kernel.bzimage,
            initrd=build_guest(arch, progress=progress, files=files).path,
            command_line=command_line(context, self._options),
            arch=arch,
            memory_mib=context.options.memory_mib,
            cpus=context.options.cpus,
            accelerator=context.accelerator,
            extra_args=() if self._options.acpi else one_cpu_a_socket(context.options.cpus),
        )
        run_story(context, config, self._tell, self._done)

    def _tell(self, life: Life) -> None:
        self._life = life
        self._link = GuestLink(life, self._context.options.time_scale)
        self._proof = JumpProof(self._context, life)
        try:
            self._boot()
            before = self._controllers()
            result = None
            for number, payload in enumerate(self._payloads, 1):
                last = number == len(self._payloads)
                result = self._call_payload(payload, last)
                if not self._all_good():
                    return
            assert result is not None
            self._check(before, result)
            self._summarize()
        except NotReached:
            pass  # the check that says why is recorded
        finally:
            self._proof.close()
            self._link.close()

    def _boot(self) -> None:
        context = self._context
        context.progress.start("A: boot", None)
        with self._stage("boot"):
            self._life.resume()
            self._life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "hello")
        with self._stage("plant"), self._link.asking() as agent:
            self._planted = plant(
                agent,
                value=f"{context.random.getrandbits(64):016x}",
                life_nonce=self._life.record.nonce,
                cpus=context.options.cpus,
                seed=context.result.seed,
                load="cpu",
            )

    def _controllers(self) -> InterruptControllers:
        with self._life.paused():
            return self._life.interrupt_controllers()

    # One payload

    def _call_payload(self, payload: Payload, last: bool) -> AttemptResult | None:
        """What the last call of it returned. ``last``: this is the run's last payload."""
        context, name = self._context, payload.kind.name
        seed = context.random.getrandbits(32)
        orders = self._tamper.change_orders(
            Orders(nonce=context.random.getrandbits(64)), self._planted
        )
        if orders.stray:
            self._done.append(f"the payload has to flip the byte at GPA {orders.stray:#x}")
        with self._stage("load", name), self._link.asking() as agent:
            said = make_calls(agent, [payload.call(seed, orders.page)])
            self._record("the payload is loaded", "load", said == ["0"], f"kexec_load: {said[0]}")
            if said != ["0"]:
                return None
            with self._life.paused():
                view = GuestView(self._life, context.symbols)
        side = Side("A", context.symbols, view, context.kernel.release, context.kernel.fixed)
        if payload.kind.calls_bios:
            side.owns = _without_bios(self._life)
        result = None
        for call in range(1, self._options.calls + 1):
            context.progress.start(f"{name}: call {call} of {self._options.calls}", None)
            site = CallSite(
                life=self._life,
                symbols=context.symbols,
                random=context.random,
                planted=self._planted,
                payload=payload,
                seed=seed,
                orders=orders,
                call=call,
                done=self._done,
            )
            site.is_last = last and call == self._options.calls
            result = self._call(side, site)
            if not self._all_good():
                return result
        with self._stage("unload", name), self._link.asking() as agent:
            said = make_calls(agent, [UNLOAD])
            self._record("the payload is unloaded", "unload", said == ["0"], said[0])
        return result

    def _arm_timer(self, agent: Agent) -> None:
        """Right before the jump: it must not be due before the jump has begun."""
        asked = time.monotonic()
        agent.query(COUNTER, CounterState)
        self._timer = arm_timer(agent, self._calls, time.monotonic() - asked)

    # One call

    def _call(self, side: Side, site: CallSite) -> AttemptResult | None:
        context, tamper, proof, life = self._context, self._tamper, self._proof, self._life
        note = f"{site.payload.kind.name} {site.call}"
        checks = CallChecks(site)
        trace = TraceRecorder(life, context.symbols, side.arch, side.release)
        interrupts = InterruptProof(context, life, side)
        self._calls += 1
        proof.cycle = site.number_in_run = self._calls
        trace.cycle = interrupts.cycle = self._calls
        context.result.properties["last_call"] = f"{site.payload.kind.name}, call {site.call}"
        with self._stage("departure", note):
            proof.arm(side)
            trace.start()
            context.reached_target()
            with self._link.asking() as agent:
                if site.is_last:
                    self._arm_timer(agent)
                attempt = agent.jump()
            interrupts.run_to_suspend()
            interrupts.before_suspend()
            site.departure = departure = proof.depart(side)
            interrupts.at_departure()
        with self._stage("callee-entry", note):
            proof.enter(departure)
            interrupts.at_entry()
            site.entered = life.registers(departure.cpu)
            site.stack = self._stack(site)
            trace.pause()
            tamper.at_entry(site)
        with self._stage("callee", note):
            proof.reenter(departure)
            tamper.at_return_point(site)
            for check in checks.at_return_point():
                context.record(check)
            tamper.after_callee(site)
        with self._stage("return", note):
            proof.arrive(departure)
            trace.start()
            tamper.at_return(site)
            interrupts.run_to_resumed()
            if not interrupts.after_resume().passed:
                return None  # without its interrupts A may never say a word
            life.resume()
            life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "jumped")
            with self._link.asking() as agent:
                result = agent.wait_jumped(attempt, life.remaining())
            self._record("the jump returned success", "return", result.good, result.error)
        context.record(trace.check(trace.stop()))
        if proof.failed:  # what follows from that need not be told
            return result
        with life.paused():
            image = installed(side.view)
            start = side.view.number(image + _START_WORD * side.word) if image else 0
            for check in checks.after_return(start):
                context.record(check)
        return result

    def _stack(self, site: CallSite) -> tuple[int, int]:
        """The word at the payload's stack pointer, and the one above if it is in the same page."""
        assert site.entered is not None
        at = site.entered.sp & (1 << 8 * site.word) - 1
        above = at + site.word
        there = above % PAGE != 0
        return site.number(at, site.word), site.number(above, site.word) if there else 0

    # After all of them

    def _check(self, before: InterruptControllers, result: AttemptResult) -> None:
        self._context.progress.start("A: check", None)
        with self._stage("check"), self._link.asking() as agent:
            if self._tamper.after_all is not None:
                self._tamper.after_all(agent, self._done)
            self._check_liveness(agent, result)
        after, life = self._controllers(), self._life.record.index
        self._context.record(check_interrupts(before, after, cycle=0, life=life))
        self._context.record(LivenessChecks(self._link.agent, self._life, 0).log([self._life]))

    def _check_liveness(self, agent: Agent, result: AttemptResult) -> None:
        checks, record = LivenessChecks(agent, self._life, 0), self._context.record
        record(checks.nonces(self._planted))
        record(checks.workloads(self._planted, self._planted.counter))
        record(checks.cpus(self._planted.cpus))
        record(checks.timer(self._timer, result))
        record(checks.finished_file())

    def _summarize(self) -> None:
        result = self._context.result
        pages = sum(check.compared for check in result.checks if check.oracle == "jump-memory")
        names = ", ".join(self._options.payloads)
        result.properties["proved"] = (
            f"{self._calls} calls of {len(self._payloads)} payload(s) ({names}), {pages} pages "
            "compared"
        )

    # Small steps

    def _all_good(self) -> bool:
        return all(check.passed for check in self._context.result.checks)

    def _record(self, name: str, stage: str, passed: bool, problem: str) -> None:
        check = Check(name, "life", passed, self._calls, 1, detail="" if passed else problem)
        if not passed:
            life = self._life.record.index
            text = f"{name}: {problem}"
            check.findings.append(Finding("life", stage, text, self._calls, life))
        self._context.record(check)

    @contextlib.contextmanager
    def _stage(self, kind: str, note: str = "") -> Iterator[None]:
        limit = LIMITS[kind] * self._context.options.time_scale
        with self._life.stage(f"{kind} {note}".strip(), limit):
            yield


def _without_bios(life: Life) -> relocation.Frames:
    """What is A's while the BIOS is called."""
    frames = [
        pfn
        for part in life.ram.ranges
        for pfn in range(part.gpa // PAGE, (part.gpa + part.size) // PAGE)
        if pfn not in _BIOS_FRAMES
    ]
    return relocation.Frames(frames)
