# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of one jump-race run: a life in which loads, unloads and jumps race for some rounds,
every answer is judged, and at the end a clean jump passes and nothing is left behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.agent import Agent
from harness.context import RunContext
from harness.errors import GuestBroken
from harness.guest_image import GuestFile, build_guest
from harness.guest_link import GuestLink
from harness.guest_program import build_program
from harness.jump.race_answers import LOAD, UNLOAD, Round, BadAnswers, after, parse, problems_of
from harness.jump.race_death import JUMPING_CPU, KernelGdt, gdt_at_death
from harness.jump.race_tampers import RaceSite, RaceTamper
from harness.jump.setup import require_jump, run_story
from harness.jump.sockets import one_cpu_a_socket
from harness.kexec.guest_view import GuestView
from harness.known import first_of
from harness.machine import GuestSaid, Life, MachineConfig, UnexpectedEnd
from harness.machine.events import TripleFault
from harness.oracles.jump_trace import TraceRecorder
from harness.oracles.liveness import LivenessChecks, Planted, plant
from harness.paths import TREE
from harness.results import Check, Finding, StageRecord

ORACLE = "jump-race"
ANSWERS = "racing calls answer as some order of them explains"
CLEAN_JUMP = "a clean jump passes after the races"
NOTHING_LEFT = "unloading gives back every frame"
NO_LEAK = "the races cost no memory"

_PROGRAM = "jb-race"
_SOURCES = TREE / "fixtures" / "kexec" / "race"
_BATCH = 20  # rounds a command
_QUIET_EVERY = 10  # rounds
_CALLS = 6  # of each loader, a round
# Seconds a stage; --time-scale multiplies them. A jump takes the kernel some 0.1 s.
_LIMITS = {"boot": 60.0, "plant": 30.0, "race": 120.0, "clean-jump": 60.0, "unload": 30.0}
_LIMITS["check"] = 30.0
# Frames that may be in use at the end and were not before, however many loads there were: the
# kernel's own caches and lists per CPU breathe. 200 rounds of three loaders make some 1700
# successful loads: a leak of one frame in every other load is more than that. In fewer rounds only
# bigger leaks are.
_SLACK = 512
_LINES = 20  # of the log, that are listed


@dataclass(frozen=True)
class RaceOptions:
    rounds: int = 200
    loaders: int = 3
    acpi: bool = True
    tamper: RaceTamper | None = None


class RaceStory:
    def __init__(self, context: RunContext, options: RaceOptions) -> None:
        self._context = context
        self._options = options
        self._tamper = options.tamper or RaceTamper("", "", "", "")
        self._done: list[str] = []
        self._rounds: list[Round] = []
        self._gdt: KernelGdt | None = None  # once the kernel is up

    def run(self) -> None:
        """Records checks in the context's result."""
        context = self._context
        require_jump(context)
        arch = context.kernel.arch
        program = build_program(
            _PROGRAM, _SOURCES, arch, title="guest's racing program", progress=context.progress
        )
        files = {f"/bin/{_PROGRAM}": GuestFile(program, 0o755)}
        config = MachineConfig(
            bzimage=context.kernel.bzimage,
            initrd=build_guest(arch, progress=context.progress, files=files).path,
            command_line=self._command_line(),
            arch=arch,
            memory_mib=context.options.memory_mib,
            cpus=context.options.cpus,
            accelerator=context.accelerator,
            extra_args=() if self._options.acpi else one_cpu_a_socket(context.options.cpus),
        )
        run_story(context, config, self._tell, self._done)

    def _command_line(self) -> str:
        # nopti: page tables of user space then map the kernel too, wherever the CPU stands still.
        words = ["console=ttyS0,115200", "nokaslr", "nopti", "panic=0", "no_console_suspend"]
        words += ["no_timer_check"]  # on a busy host IRQ 0 may fail the kernel's own test of it
        words += [] if self._options.acpi else ["acpi=off"]
        words += [self._context.options.append] if self._context.options.append else []
        return " ".join(words)

    def _tell(self, life: Life) -> None:
        context = self._context
        context.progress.start("boot", None)
        guest = GuestLink(life, context.options.time_scale)
        try:
            with self._stage(life, "boot"):
                life.resume()
                life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "hello")
            with guest.asking() as agent:
                self._prove(life, agent)
        except UnexpectedEnd as end:
            self._look_at(end, life)
            raise
        finally:
            guest.close()

    def _look_at(self, end: UnexpectedEnd, life: Life) -> None:
        """Nobody stops at the jumps: what the CPU has when it dies tells of the way back."""
        context = self._context
        if self._gdt is None or not isinstance(end.event, TripleFault):
            return
        check = gdt_at_death(
            life.registers(JUMPING_CPU),
            self._gdt,
            context.symbols,
            context.kernel,
            life.record.index,
        )
        if check is not None:
            context.record(check)

    def _prove(self, life: Life, agent: Agent) -> None:
        context, tamper = self._context, self._tamper
        with self._stage(life, "plant"):
            planted = self._plant(life, agent)
            with life.paused():
                view = GuestView(life, context.symbols)
                before = _frames(view)
                self._gdt = KernelGdt.read(view, life.registers(JUMPING_CPU))
        site = RaceSite(context.random, context.symbols, life, view, agent, self._done)
        context.reached_target()
        loaded = False
        first = 0
        while first < self._options.rounds:
            rounds = min(_BATCH, self._options.rounds - first)
            context.progress.start(f"rounds {first + 1} to {first + rounds}", None)
            with self._stage(life, "race", f"{first + 1}"):
                if not first:
                    tamper.before_races(site)
                told = self._race(agent, first, rounds)
            loaded = self._judge(life, told, loaded)
            first += rounds
        context.progress.start("a clean jump", None)
        tamper.after_races(site)
        with self._stage(life, "clean-jump"):
            self._clean_jump(life, agent, loaded)
        with self._stage(life, "unload"):
            self._drop_caches(agent)
            with life.paused():
                tamper.at_end(site)
                self._leaks(life, view, before, _frames(view))
        with self._stage(life, "check"):
            self._alive(life, agent, planted)
        self._log(life)
        self._summarize()

    def _plant(self, life: Life, agent: Agent) -> Planted:
        context = self._context
        planted = plant(
            agent,
            value=f"{context.random.getrandbits(64):016x}",
            life_nonce=life.record.nonce,
            cpus=context.options.cpus,
            seed=context.result.seed,
            load="",
        )
        self._drop_caches(agent)
        return planted

    def _drop_caches(self, agent: Agent) -> None:
        agent.run("sync; echo 3 > /proc/sys/vm/drop_caches")

    # Races

    def _race(self, agent: Agent, first: int, rounds: int, *more: str) -> list[Round]:
        options = self._options
        words = [f"exec /bin/{_PROGRAM} --rounds {rounds} --first {first}"]
        words += [f"--seed {self._context.result.seed % (1 << 31)}", *more]
        if not more:
            words += [f"--loaders {options.loaders} --calls {_CALLS} --quiet-every {_QUIET_EVERY}"]
        done = agent.run(" ".join(words), timeout=_LIMITS["race"])
        if not done.good:
            how = f"exit status {done.exit}" if done.signal is None else f"signal {done.signal}"
            late = ", timed out" if done.timed_out else ""
            raise GuestBroken(f"{_PROGRAM}: {how}{late}: {done.text[-400:].strip()}")
        try:
            return parse(done.text, first, rounds)
        except BadAnswers as error:
            raise GuestBroken(str(error)) from error

    def _judge(self, life: Life, rounds: list[Round], loaded: bool) -> bool:
        """Records a check; returns whether an image is loaded now."""
        check = Check(ANSWERS, ORACLE, True)
        for each in rounds:
            self._rounds.append(each)
            check.compared += len(each.answers) + len(each.quiet)
            for problem in problems_of(each, loaded):
                check.findings.append(Finding(ORACLE, "race", problem, life=life.record.index))
            loaded = after(each)
        self._record(check)
        return loaded

    def _clean_jump(self, life: Life, agent: Agent, loaded: bool) -> None:
        """Nobody disturbs it; its steps are those of the model. Then everything is unloaded."""
        context = self._context
        recorder = TraceRecorder(life, context.symbols, context.kernel.arch, context.kernel.release)
        recorder.start()
        number = self._options.rounds
        (told,) = self._race(agent, number, 1, "--loaders 1 --calls 1 --quiet-every 1 --unload")
        recorder.stop()
        check = Check(CLEAN_JUMP, ORACLE, True, compared=len(told.quiet))
        for problem in problems_of(told, loaded):
            check.findings.append(Finding(ORACLE, "clean-jump", problem, life=life.record.index))
        self._record(check)
        if check.passed:
            context.record(recorder.check())

    # At the end

    def _leaks(self, life: Life, view: GuestView, before: _Frames, now: _Frames) -> None:
        number = life.record.index
        check = Check(NOTHING_LEFT, ORACLE, True, compared=len(before.reserved))
        kept = sorted(now.reserved - before.reserved)
        image = view.variable("kexec_image")
        if image:
            message = f"kexec_image is still {image:#x} after the unload"
            check.findings.append(Finding(ORACLE, "unload", message, life=number))
        for pfn in kept[:4]:
            message = f"{len(kept)} frame(s) stay reserved after every image was unloaded, such as"
            check.findings.append(
                Finding(ORACLE, "unload", f"{message} {pfn:#x}", life=number, pfn=pfn)
            )
        self._record(check)
        loads = self._count(LOAD)
        lost = before.free - now.free
        check = Check(NO_LEAK, ORACLE, True, compared=loads)
        check.detail = f"{lost} frames fewer are free after {loads} successful loads"
        if lost > _SLACK:
            check.findings.append(Finding(ORACLE, "unload", check.detail, life=number))
        self._record(check)

    def _alive(self, life: Life, agent: Agent, planted: Planted) -> None:
        checks = LivenessChecks(agent, life, 0)
        self._context.record(checks.nonces(planted))
        self._context.record(checks.workloads(planted, planted.counter))
        self._context.record(checks.cpus(planted.cpus))

    def _log(self, life: Life) -> None:
        check = Check("the kernel's log is clean", "console", True, compared=1)
        lines = life.console_problems()
        for line, text in zip(lines, first_of([line.text for line in lines], _LINES)):
            stage = _stage_at(life.record.stages, line.time)
            check.findings.append(Finding("console", stage, text, life=life.record.index))
        self._record(check)

    def _count(self, what: str, error: int = 0) -> int:
        return sum(
            answer.what == what and answer.error == error
            for each in self._rounds
            for answer in each.answers
        )

    def _summarize(self) -> None:
        answers = [answer for each in self._rounds for answer in each.answers]
        busy = sum(1 for answer in answers if answer.error)
        self._context.result.properties["proved"] = (
            f"{len(self._rounds)} rounds, {len(answers)} racing calls: {self._count(LOAD)} loads, "
            f"{self._count(UNLOAD)} unloads, {self._count('x')} jumps, {busy} turned away"
        )

    def _record(self, check: Check) -> None:
        check.passed = not check.findings
        check.detail = check.findings[0].message if check.findings else check.detail
        self._context.record(check)

    @contextlib.contextmanager
    def _stage(self, life: Life, name: str, note: str = "") -> Iterator[None]:
        limit = _LIMITS[name] * self._context.options.time_scale
        with life.stage(f"{name} {note}".strip(), limit):
            yield


@dataclass(frozen=True)
class _Frames:
    """``reserved``: as kimage_alloc_pages() marks those of an image."""

    reserved: frozenset[int]
    free: int


def _frames(view: GuestView) -> _Frames:
    runs = view.kernel.owner_runs()
    reserved = (
        pfn
        for start, count, owner in runs
        if owner == "reserved"
        for pfn in range(start, start + count)
    )
    free = sum(count for _, count, owner in runs if owner.startswith("free"))
    return _Frames(frozenset(reserved), free)


def _stage_at(stages: list[StageRecord], time: float) -> str:
    """The kind of stage that a moment of the run falls into; between two, the earlier."""
    begun = [stage.name for stage in stages if stage.start <= time]
    return begun[-1].split(" ")[0] if begun else ""
