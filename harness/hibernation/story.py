# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of one hibernate-disk run: lives, cycles, and what is proved where.

One cycle: save (in the life that runs A), power-off, verify the image while the next life comes
up, resume (a life that boots C and becomes A), check.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import re
import time
from collections.abc import Iterator

import kernel
from harness.agent_state import CounterState, AttemptResult
from harness.context import RunContext
from harness.faults.tamper import Tamper
from harness.guest_image import build_guest
from harness.errors import GuestBroken
from harness.guest_link import GuestLink
from harness.hibernation.evidence import CycleEvidence, Evidence
from harness.hibernation.notes import note_end, note_memory
from harness.hibernation.options import (
    ENDS_IN,
    SWAP_DEVICE,
    HibernateOptions,
    Setup,
)
from harness.hibernation.site import TamperSite
from harness.machine import (
    Breakpoint,
    ConsoleLine,
    Event,
    GuestSaid,
    Life,
    Machine,
    MachineConfig,
    PowerOff,
    Reset,
    UnexpectedEnd,
)
from harness.oracles import snapshot_stop
from harness.oracles.cpu import check_cpu
from harness.oracles.interrupts import check_interrupts
from harness.oracles.liveness import (
    COUNTER,
    LivenessChecks,
    Planted,
    arm_timer,
    check_cold_boot,
    plant,
)
from harness.oracles.snapshot_stop import SnapshotRefused
from harness.results import Check, Finding


class CheckFailed(Exception):
    """A check failed that leaves nothing to go on with; it is recorded already."""


class HibernateStory:
    def __init__(self, context: RunContext, options: HibernateOptions) -> None:
        self._context = context
        self._options = options
        self._tamper = options.tamper or Tamper("", "", "")
        self._symbols = context.symbols
        self._setup = Setup(context, options)
        self._evidence = Evidence(context)
        self._lives_of_cycle: list[Life] = []
        self._done: list[str] = []  # by tampers
        self._cycle = 1
        self._drawings: list[concurrent.futures.Future[None]] = []
        self._worker: concurrent.futures.ThreadPoolExecutor

    def run(self) -> None:
        """Records checks in the context's result. Ends early where a failure leaves nothing to
        go on with."""
        context = self._context
        self._setup.make_disks()
        config = MachineConfig(
            bzimage=context.kernel.bzimage,
            initrd=context.guest.path,
            command_line=self._setup.command_line(),
            arch=context.kernel.arch,
            memory_mib=context.options.memory_mib,
            cpus=context.options.cpus,
            accelerator=context.accelerator,
            disks=tuple(self._setup.disks),
        )
        machine = Machine(config, context.folder, context.started, self._symbols.text)
        finished = False
        try:
            self._run_machine(machine)
            for drawing in self._drawings:
                drawing.result()  # a bug in the drawing must not pass unseen
            finished = self._all_good()
        finally:
            if context.options.keep or not finished:
                self._evidence.keep_last()
            self._evidence.close()
        if finished and not context.options.keep:
            self._setup.remove_disks()

    def _run_machine(self, machine: Machine) -> None:
        with machine, concurrent.futures.ThreadPoolExecutor(1, "verify") as self._worker:
            self._context.result.lives = machine.records
            try:
                self._tell_story(machine)
            except CheckFailed:
                pass
            except UnexpectedEnd as end:
                with contextlib.suppress(CheckFailed):
                    self._fail("life", "the machine ends as expected", str(end).split("\n")[0])
            except GuestBroken as error:
                with contextlib.suppress(CheckFailed):
                    self._fail("workload", "the agent lives on", str(error))
            finally:
                note_end(self._context.result, self._done)

    # The story

    def _tell_story(self, machine: Machine) -> None:
        life, guest, planted = self._boot_original(machine)
        try:
            for cycle in range(1, self._options.cycles + 1):
                site = TamperSite(
                    self._context.random,
                    self._symbols,
                    self._setup.swap,
                    planted,
                    cycle,
                    life,
                    guest,
                )
                site.done = self._done
                self._cycle = cycle
                self._lives_of_cycle = [life]
                evidence, before, timer = self._save(site)
                life = self._resume(machine, site, evidence)
                result = self._wake(site)
                self._check(site, before, timer, result)
                if not self._all_good():
                    return
                self._context.result.cycles_proved = cycle
                note_memory(self._context.result)
            with life.stage("finish", self._setup.limit("check")), guest.asking():
                checks = LivenessChecks(guest.agent, life, self._options.cycles)
                self._record(checks.finished_file())
        finally:
            guest.close()

    def _boot_original(self, machine: Machine) -> tuple[Life, GuestLink, Planted]:
        context = self._context
        nonce = self._new_nonce()
        life = machine.new_life(nonce, role="A", cycle=1)
        context.progress.start("life 1: boot", None)
        with life.stage("boot", self._setup.limit("boot")):
            life.start()
            guest = GuestLink(life, context.options.time_scale)
            life.resume()
            self._evidence.prepare(life)
            life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "hello")
        with life.stage("plant", self._setup.limit("plant")), guest.asking() as agent:
            agent.swap_on(SWAP_DEVICE, make=True)
            planted = plant(
                agent,
                value=self._new_nonce(),
                life_nonce=nonce,
                cpus=context.options.cpus,
                seed=context.result.seed,
                load="" if self._options.load == "none" else self._options.load,
            )
        return life, guest, planted

    def _save(self, site: TamperSite) -> tuple[CycleEvidence, CounterState, str]:
        """From the order to hibernate to the end of the life."""
        life, guest, cycle = site.life, site.guest, site.cycle
        self._context.progress.start(f"cycle {cycle}: save", None)
        with life.stage("save", self._setup.limit("save")):
            self._context.reached_target()
            with guest.asking() as agent:
                asked = time.monotonic()
                before = agent.query(COUNTER, CounterState)
                latency = time.monotonic() - asked
                self._tamper.before_save(site)
                with life.paused():
                    site.interrupts = life.interrupt_controllers()
                    snapshot_stop.arm_entry(life, self._symbols)
                timer = arm_timer(agent, cycle, latency)
                site.hibernation = agent.hibernate(self._options.mode)
            with self._refusal(life):
                entry = snapshot_stop.stop_at_entry(life, self._symbols)
        site.entry = entry
        self._tamper.at_entry(site)
        with life.stage("snapshot", self._setup.limit("snapshot")):
            with self._refusal(life):
                snapshot_stop.stop_after_copy(life, self._symbols)
            snapshot = self._evidence.capture_snapshot(life, entry, cycle)
            self._tamper.at_snapshot(site)
        with life.stage("write-image", self._setup.limit("write-image")):
            life.resume()
            self._await_end(life)
        self._tamper.after_power_off(site)
        return CycleEvidence(cycle, snapshot, self._setup.swap), before, timer

    def _resume(self, machine: Machine, site: TamperSite, evidence: CycleEvidence) -> Life:
        """Verifies the image while the next life comes up, and stops at its restored kernel."""
        cycle = site.cycle
        self._context.progress.start(f"cycle {cycle}: power-off, boot, resume", None)
        saved_by = site.life
        parsed = self._worker.submit(evidence.parse_image, saved_by, self._options.compressor)
        if self._tamper.next_life_other_arch:
            self._boot_other_arch(machine)
        life = machine.new_life(
            self._new_nonce(), "C", cycle, append=self._tamper.append_to_next_life
        )
        life.start()
        # The next life writes to the disk: it must not run before the image has been read.
        self._record_or_stop(parsed.result())
        verified = self._worker.submit(self._evidence.verify, evidence)
        self._tamper.between_lives(site)
        site.life = life
        site.guest.follow(life)
        self._lives_of_cycle.append(life)
        try:
            self._load_image(life)
        finally:
            # Also of a life that died: what was wrong with its image is why.
            for check in verified.result():
                self._record(check)
        with life.stage("restore", self._setup.limit("restore")):
            self._tamper.at_restore(site)
            self._record(self._evidence.compare_restored(evidence, life))
            self._check_cpu(site)
        self._drawings.append(self._worker.submit(self._draw, evidence))
        return life

    def _draw(self, evidence: CycleEvidence) -> None:
        """A picture of the first and the last cycle, and of every one with findings; drawn beside
        the guest, which goes on meanwhile."""
        interesting = evidence.different or evidence.missing
        if interesting or evidence.cycle in (1, self._options.cycles):
            drawn = self._evidence.draw(evidence)
            if drawn is not None:
                self._context.result.frame_maps.append(drawn)

    def _load_image(self, life: Life) -> None:
        """C boots and loads the image, up to the first instruction of the restored kernel."""
        address = self._symbols.restored_entry()

        def restored_or_fresh(event: Event) -> bool:
            return isinstance(event, Breakpoint) or self._fresh_boot(event)

        with life.stage("load-image", self._setup.limit("load-image")):
            life.add_breakpoint(address, "restore_registers")
            life.resume()
            event = life.wait(restored_or_fresh)
            if not isinstance(event, Breakpoint):
                self._fail(
                    "life",
                    "the next life resumes",
                    f"life {life.record.index} booted afresh instead of resuming: "
                    f"{event.describe()}; {self._why_not_resumed(life)}",
                    life,
                )
            life.remove_breakpoint(address)
        self._record(check_cold_boot(life))

    def _check_cpu(self, site: TamperSite) -> None:
        """Two short stops on the way out of restore_registers."""
        entry = site.entry
        assert entry is not None
        life = site.life
        life.run_until_breakpoint(entry.return_address)
        self._tamper.at_return(site)
        at_return = life.registers(0)
        life.run_until_breakpoint(self._symbols.address("syscore_resume"))
        restored = life.registers(0)
        self._record(
            check_cpu(
                entry.registers,
                at_return,
                restored,
                arch=self._symbols.arch,
                cycle=site.cycle,
                life=life.record.index,
            )
        )

    def _wake(self, site: TamperSite) -> AttemptResult:
        """From the restored CPU to the return of the write to /sys/power/state."""
        life = site.life
        with life.stage("wake", self._setup.limit("wake")):
            life.resume()
            life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "resumed")
            with site.guest.asking() as agent:
                return agent.wait_resumed(site.hibernation, life.remaining())

    def _check(
        self, site: TamperSite, before: CounterState, timer: str, result: AttemptResult
    ) -> None:
        self._context.progress.start(f"cycle {site.cycle}: check", None)
        with site.life.stage("check", self._setup.limit("check")), site.guest.asking() as agent:
            self._tamper.after_resume(site)
            checks = LivenessChecks(agent, site.life, site.cycle)
            self._record(checks.hibernation(result))
            self._record(checks.nonces(site.planted))
            self._record(checks.workloads(site.planted, before))
            self._record(checks.cpus(site.planted.cpus))
            self._check_interrupts(site)
            self._record(checks.timer(timer, result))  # last: it may have to wait
        self._record(checks.log(self._lives_of_cycle))

    def _check_interrupts(self, site: TamperSite) -> None:
        assert site.interrupts is not None
        with site.life.paused():
            after = site.life.interrupt_controllers()
        life = site.life.record.index
        self._record(check_interrupts(site.interrupts, after, cycle=site.cycle, life=life))

    # Small steps

    def _await_end(self, life: Life) -> None:
        """Until the machine is off, in the way that the mode asks for."""

        def over(event: Event) -> bool:
            failed = isinstance(event, GuestSaid) and event.name == "resumed"
            return failed or isinstance(event, (PowerOff, Reset))

        event = life.wait(over)
        wanted = ENDS_IN[self._options.mode]
        if isinstance(event, GuestSaid):
            self._fail("life", "hibernation ends the life", _refusal(event.text), life)
        elif life.outcome is not wanted:
            problem = (
                f"mode {self._options.mode}: expected {wanted.value}, found {life.outcome.value}"
            )
            self._fail("life", "hibernation ends the life", problem, life)
        self._context.record(
            Check("hibernation ends the life", "life", True, cycle=self._cycle, compared=1)
        )

    def _fresh_boot(self, event: Event) -> bool:
        """Whether a kernel that was to resume has started user space instead."""
        if isinstance(event, GuestSaid):
            return event.name == "hello"
        # kernel_init(), init/main.c; by the agent's word alone a hung user space would be missed.
        return isinstance(event, ConsoleLine) and "Run /init as init process" in event.text

    def _boot_other_arch(self, machine: Machine) -> None:
        """From the next life on: the same version, built for the other architecture."""
        context = self._context
        arch = "i386" if context.kernel.arch == "x86_64" else "x86_64"
        other = kernel.resolve(context.kernel.version, arch, progress=context.progress)
        machine.config = dataclasses.replace(
            machine.config,
            arch=arch,
            bzimage=other.bzimage,
            initrd=build_guest(arch, progress=context.progress).path,
        )

    def _why_not_resumed(self, life: Life) -> str:
        """What the kernel said about the image it did not take."""
        said = [
            event.text
            for event in life.events()
            if isinstance(event, ConsoleLine)
            and re.search(r"\bPM: (?!.*nosave memory)", event.text)
        ]
        return "the kernel said: " + " | ".join(said[-6:]) if said else "the kernel said nothing"

    @contextlib.contextmanager
    def _refusal(self, life: Life) -> Iterator[None]:
        """Turns the kernel's refusal to take a snapshot into a failed check."""
        try:
            yield
        except SnapshotRefused as error:
            self._fail("life", "the kernel takes its snapshot", _refusal(str(error)), life)

    def _record(self, check: Check) -> None:
        self._context.record(check)

    def _record_or_stop(self, checks: list[Check]) -> None:
        """Checks without which there is nothing to go on with."""
        for check in checks:
            self._record(check)
        if not all(check.passed for check in checks):
            raise CheckFailed

    def _fail(self, oracle: str, name: str, message: str, life: Life | None = None) -> None:
        lives = self._context.result.lives
        record = life.record if life is not None else (lives[-1] if lives else None)
        stage = record.stages[-1].name if record is not None and record.stages else ""
        number = record.index if record is not None else 0
        finding = Finding(oracle, stage, message, cycle=self._cycle, life=number)
        self._context.record(
            Check(name, oracle, False, cycle=self._cycle, detail=message, findings=[finding])
        )
        raise CheckFailed

    def _all_good(self) -> bool:
        checks = self._context.result.checks
        return bool(checks) and all(check.passed for check in checks)

    def _new_nonce(self) -> str:
        return f"{self._context.random.getrandbits(64):016x}"


def _refusal(text: str) -> str:
    return f"the kernel came back from hibernation without a saved image: {text}"
