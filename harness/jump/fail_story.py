# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of one jump-fail-step run: in one life each step of the jump is made to fail in turn,
the kernel must live on each time, and then a clean jump must pass.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

import jumpback_jump as jj

from harness.agent_state import AttemptResult
from harness.context import RunContext
from harness.errors import GuestBroken, InfraError
from harness.guest_image import build_guest
from harness.guest_link import GuestLink
from harness.jump.fail_checks import FailChecks, look
from harness.jump.fail_inject import EIO, STEPS, How, Injector, Refusal
from harness.jump.fail_tampers import DISK, FailTamper
from harness.jump.options import JumpOptions, command_line
from harness.jump.proof import JumpProof, NotReached
from harness.jump.setup import require_jump, run_story
from harness.jump.side import Side
from harness.jump.sockets import one_cpu_a_socket
from harness.kexec.calls import PAGE, PRESERVE_CONTEXT, Call, Content, Segment
from harness.kexec.guest_view import GuestView
from harness.kexec.loader import guest_files, make_calls
from harness.machine import Breakpoint, GuestSaid, Life, MachineConfig
from harness.oracles.jump_sites import sites_of
from harness.oracles.jump_trace import JumpTrace, TraceRecorder
from harness.oracles.liveness import Planted, plant
from harness.results import Check

CLEAN = "clean-jump"

# Seconds. Generous for TCG on a loaded host; --time-scale multiplies them.
LIMITS = {"boot": 60.0, "plant": 30.0, "step": 60.0, CLEAN: 120.0}

_DISK_BYTES = 8 << 20
_RET = b"\xc3"  # on both architectures
_UNLOAD = Call("unload", unload=True)


@dataclass(frozen=True)
class FailOptions:
    steps: tuple[str, ...] = tuple(STEPS)
    acpi: bool = True
    tamper: FailTamper | None = None


class FailStory:
    def __init__(self, context: RunContext, options: FailOptions) -> None:
        self._context = context
        self._options = options
        self._tamper = options.tamper or FailTamper("", "", "", "", "")
        self._done: list[str] = []  # by the tamper
        self._steps_recorded = 0

    def run(self) -> None:
        """Records checks in the context's result."""
        context = self._context
        require_jump(context)
        disk = context.folder / "disk.raw"
        with disk.open("wb") as file:
            os.truncate(file.fileno(), _DISK_BYTES)
        arch = context.kernel.arch
        config = MachineConfig(
            bzimage=context.kernel.bzimage,
            initrd=build_guest(
                arch,
                progress=context.progress,
                files=guest_files(arch, progress=context.progress),
            ).path,
            command_line=command_line(
                context, JumpOptions(acpi=self._options.acpi, suspend_console=True)
            ),
            arch=arch,
            memory_mib=context.options.memory_mib,
            cpus=context.options.cpus,
            accelerator=context.accelerator,
            disks=(disk,),
            extra_args=() if self._options.acpi else one_cpu_a_socket(context.options.cpus),
        )
        run_story(context, config, self._tell, self._done)
        if all(check.passed for check in context.result.checks) and not context.options.keep:
            disk.unlink()

    def _tell(self, life: Life) -> None:
        context = self._context
        context.progress.start("boot", None)
        link = GuestLink(life, context.options.time_scale)
        try:
            with self._stage(life, "boot"):
                life.resume()
                life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "hello")
            with self._stage(life, "plant"):
                planted = self._plant(life, link)
            context.reached_target()
            if self._refuse_all(life, link, planted):
                context.progress.start("clean jump", None)
                with self._stage(life, CLEAN), contextlib.suppress(NotReached):
                    self._jump(life, link, planted)
                    self._summarize()
        finally:
            link.close()

    def _plant(self, life: Life, link: GuestLink) -> Planted:
        context = self._context
        seed = context.random.getrandbits(32)
        with link.asking() as agent:
            cpus = sum(proof.alive for proof in agent.cpus())
            if cpus != context.options.cpus:
                raise GuestBroken(f"{cpus} of {context.options.cpus} CPUs run after the boot")
            planted = plant(
                agent,
                value=f"{context.random.getrandbits(64):016x}",
                life_nonce=life.record.nonce,
                cpus=cpus,
                seed=seed,
                load="",
            )
            context.result.properties["cpus_that_run"] = str(cpus)
            agent.start_disk(DISK, "/dev/vda", seed=seed, size=_DISK_BYTES)
            self._load(link)
        return planted

    @property
    def _image(self) -> Call:
        """One page in the middle of RAM whose first instruction returns."""
        place = (self._context.options.memory_mib << 19) // PAGE * PAGE
        segment = Segment(place, PAGE, len(_RET), Content(data=_RET))
        return Call("a page that returns", (segment,), flags=PRESERVE_CONTEXT, entry=place)

    def _load(self, link: GuestLink) -> None:
        with link.asking() as agent:
            (said,) = make_calls(agent, [self._image])
        if said != "0":
            raise InfraError(f"kexec_load of a page that returns: {said}")

    # Refusals

    def _refuse_all(self, life: Life, link: GuestLink, planted: Planted) -> bool:
        """Whether the kernel has come through all of them."""
        for number, step in enumerate(self._options.steps, 1):
            self._context.progress.start(f"{step} fails", None)
            with self._stage(life, step):
                self._refuse(life, link, planted, step, number)
            if not all(check.passed for check in self._context.result.checks):
                return False  # what comes after cannot be trusted
        return True

    def _refuse(
        self, life: Life, link: GuestLink, planted: Planted, step: str, number: int
    ) -> None:
        context = self._context
        symbols, release = context.symbols, context.kernel.release
        checks = FailChecks(context, life, step, number)
        injector = Injector(life, symbols, release)
        recorder = TraceRecorder(life, symbols, context.kernel.arch, release)
        mine = self._tamper.step == step
        with link.asking() as agent:
            if STEPS[step].how is How.NO_IMAGE:
                make_calls(agent, [_UNLOAD])
            before = look(agent)
            if mine:
                self._tamper.before_jump(agent, self._done.append)
            self._tamper.prepare(injector, step, self._done.append)
            refusal = injector.arm(step)
            recorder.start()
            checks.arm_timer(agent)
            attempt = agent.jump()
        life.wait(Breakpoint)
        trace = recorder.stop()
        if not injector.blind:
            require_refusal(refusal, trace)
        if mine:
            self._tamper.at_stop(injector, self._done.append)
        wanted = self._judge_trace(recorder, trace, step)
        injector.disarm()
        if not checks.stands(refusal):
            return  # the serial line that the agent speaks on is among the devices
        life.resume()
        with link.asking() as agent:
            result = agent.wait_jumped(attempt, life.remaining())
            if mine:
                self._tamper.after_return(agent, self._done.append)
            checks.returned(self._told(result, mine), errno.errorcode.get(-wanted, ""))
            checks.all(agent, planted, before, result, self._image)
        self._note(step, refusal)

    def _judge_trace(self, recorder: TraceRecorder, trace: JumpTrace, step: str) -> int:
        """Returns what kernel_kexec() has to return."""
        scenario = jj.Scenario("jump", STEPS[step].fails, -EIO)
        if self._tamper.step == step:
            self._tamper.at_trace(trace, self._done.append)
        self._context.record(recorder.check(trace, scenario))
        self._steps_recorded += len(trace.steps)
        kernel = sites_of(self._context.symbols, self._context.kernel.release).kernel
        return jj.expected_trace(kernel, scenario).returned or 0

    def _told(self, result: AttemptResult, mine: bool) -> AttemptResult:
        if not mine or not self._tamper.errno:
            return result
        self._done.append(f"the call returned {result.error}")
        number = getattr(errno, self._tamper.errno)
        return AttemptResult(**{**vars(result), "error": self._tamper.errno, "errno": number})

    def _note(self, step: str, refusal: Refusal) -> None:
        assert refusal.before is not None
        self._context.result.properties["devices"] = str(sum(refusal.before.devices.values()))

    # The clean jump

    def _jump(self, life: Life, link: GuestLink, planted: Planted) -> None:
        context = self._context
        symbols, release = context.symbols, context.kernel.release
        checks = FailChecks(context, life, CLEAN, len(self._options.steps) + 1)
        recorder = TraceRecorder(life, symbols, context.kernel.arch, release)
        proof = JumpProof(context, life)
        try:
            with life.paused():
                view = GuestView(life, symbols)
                side = Side("A", symbols, view, release, context.kernel.fixed)
            proof.arm(side)
            with link.asking() as agent:
                before = look(agent)
                recorder.start()
                checks.arm_timer(agent)
                attempt = agent.jump()
            departure = proof.depart(side)
            proof.enter(departure)
            proof.reenter(departure)
            proof.arrive(departure)
            life.resume()
            with link.asking() as agent:
                result = agent.wait_jumped(attempt, life.remaining())
                trace = recorder.stop()
                self._take(recorder.check(trace, jj.Scenario()))
                checks.returned(result, "")
                checks.all(agent, planted, before, result, self._image)
        finally:
            proof.close()

    def _take(self, check: Check) -> None:
        self._context.record(check)

    def _summarize(self) -> None:
        steps = self._options.steps
        self._context.result.properties[
            "proved"
        ] = f"{len(steps)} refused jumps of {self._steps_recorded} steps, then a clean one"

    @contextlib.contextmanager
    def _stage(self, life: Life, name: str) -> Iterator[None]:
        limit = LIMITS.get(name, LIMITS["step"])
        with life.stage(name, limit * self._context.options.time_scale):
            yield


def require_refusal(refusal: Refusal, trace: JumpTrace) -> None:
    """Raises InfraError if the kernel came by the step and was not made to fail in it. A kernel
    that never came by it is judged by its trace."""
    step = STEPS[refusal.step]
    if step.how is How.NO_IMAGE or refusal.injected:
        return
    if all(made.step != step.fails for made in trace.steps):
        return
    if step.how is How.DEVICE:
        raise InfraError(f"{step.driver}() was called for {refusal.asked} device(s) only")
    raise InfraError(f"{refusal.step} was made, and the rig did not make it fail")
