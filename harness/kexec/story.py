# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of one kexec-load run: one life, calls whose answers are judged, loads whose page lists
are read, and an unload that leaves nothing.
"""

from __future__ import annotations

from harness.agent import Agent
from harness.context import RunContext
from harness.errors import GuestBroken, SkipError
from harness.guest_image import build_guest
from harness.guest_link import GuestLink
from harness.hibernation.notes import note_end
from harness.kexec.call_checks import CallChecks
from harness.kexec.calls import ON_CRASH, PAGE, Call
from harness.kexec.guest_view import GuestView, read_conditions
from harness.kexec.kimage_struct import installed
from harness.kexec.list_checks import CONTENT, ORACLE, PREDICTED, WELL_FORMED
from harness.kexec.load_checks import LoadChecks
from harness.kexec.loader import guest_files
from harness.kexec.model import Model
from harness.kexec.options import KexecOptions
from harness.kexec.session import UNLOAD, Session, life_stage
from harness.kexec.table import Room
from harness.kexec.site import Site
from harness.machine import GuestSaid, Life, Machine, MachineConfig, UnexpectedEnd
from harness.results import Check, Finding, StageRecord

UNLOADED = "unloading gives back every frame"

# All in kernel/kexec*.c and in every kernel that has kexec_load.
_NEEDED = ("kexec_image", "kimage_terminate")
_IMAGES = ("kexec_image", "kexec_crash_image")


class KexecStory:
    def __init__(self, context: RunContext, options: KexecOptions) -> None:
        self._context = context
        self._options = options
        self._done: list[str] = []  # by the tamper

    def run(self) -> None:
        """Records checks in the context's result."""
        context = self._context
        symbols, arch = context.symbols, context.kernel.arch
        if not all(symbols.all(name) for name in _NEEDED):
            raise SkipError(f"kernel {context.kernel.release} has no kexec_load (CONFIG_KEXEC=y)")
        files = guest_files(arch, progress=context.progress)
        config = MachineConfig(
            bzimage=context.kernel.bzimage,
            initrd=build_guest(arch, progress=context.progress, files=files).path,
            command_line=self._command_line(),
            arch=arch,
            memory_mib=context.options.memory_mib,
            cpus=context.options.cpus,
            accelerator=context.accelerator,
        )
        with Machine(config, context.folder, context.started, symbols.text) as machine:
            context.result.lives = machine.records
            life = machine.new_life(f"{context.random.getrandbits(64):016x}")
            try:
                self._tell(life)
                self._log(life)
            except UnexpectedEnd as end:
                self._fail(life, "the machine runs on", str(end).split("\n")[0])
            except GuestBroken as error:
                self._fail(life, "the guest's loader works", str(error))
                self._log(life)  # what the kernel said to that
            finally:
                note_end(context.result, self._done)

    def _command_line(self) -> str:
        # nopti: page tables of user space then map the kernel too, wherever the CPU stands still.
        words = ["console=ttyS0,115200", "nokaslr", "nopti", "panic=0"]
        crash = self._options.crash_mib(self._context.options.memory_mib)
        if crash:
            words.append(f"crashkernel={crash}M")
        if self._context.options.append:
            words.append(self._context.options.append)
        return " ".join(words)

    def _tell(self, life: Life) -> None:
        context = self._context
        context.progress.start("boot", None)
        with life_stage(life, context, "boot"):
            life.start()
            guest = GuestLink(life, context.options.time_scale)
            life.resume()
            life.wait(lambda event: isinstance(event, GuestSaid) and event.name == "hello")
        try:
            with guest.asking() as agent:
                with life_stage(life, context, "look"), life.paused():
                    session = self._look(life, agent)
                self._prove(session)
        finally:
            guest.close()

    def _look(self, life: Life, agent: Agent) -> Session:
        """What the kernel's answers depend on, by its own variables."""
        context = self._context
        view = GuestView(life, context.symbols)
        conditions = read_conditions(view, kexec_jump=self._has_kexec_jump())
        tested = context.kernel
        model = Model(tested.release, tested.arch, conditions, tested.fixed)
        site = Site(context.random, view, model, done=self._done, agent=agent)
        start, last = conditions.crash
        context.result.properties.update(
            totalram_pages=str(conditions.totalram_pages),
            crash_region=f"{start:#x}-{last:#x}" if last else "none",
        )
        room = Room(context.kernel.arch, conditions)
        return Session(context, self._options, life, view, model, room, site, agent)

    def _has_kexec_jump(self) -> bool:
        """Decides of a flag only; a kernel without its config is taken to have it."""
        config = self._context.kernel.config
        return config is None or "\nCONFIG_KEXEC_JUMP=y\n" in config.read_text()

    def _prove(self, session: Session) -> None:
        context = self._context
        before = _reserved(session)
        context.reached_target()
        for tamper in self._options.tampers:
            tamper.at_start(session.site)
        calls = CallChecks(session)
        context.progress.start("calls", None)
        with session.stage("calls"):
            calls.run()
        context.progress.start("page lists", None)
        LoadChecks(session).run()
        with session.stage("unload"):
            self._unload(session, calls, before)
        with session.stage("limit"):
            calls.load_limit()
        self._summarize(session)

    def _unload(self, session: Session, calls: CallChecks, before: set[int]) -> None:
        crash = Call("unload the crash image", unload=True, flags=ON_CRASH)
        calls.judge("unload", session.make([UNLOAD, crash]))
        with session.life.paused():
            left = {name: installed(session.view, name == _IMAGES[1]) for name in _IMAGES}
            for tamper in session.options.tampers:
                tamper.at_end(session.site)
            kept = sorted(_reserved(session) - before)
            session.site.undo()
        check = Check(UNLOADED, ORACLE, True, compared=len(before))
        check.detail = f"{session.made} calls left no frame reserved"
        for name, address in left.items():
            if address:
                message = f"{name} is still {address:#x} after the unload"
                check.findings.append(session.finding(ORACLE, "unload", message))
        for pfn in kept[:4]:
            message = f"{len(kept)} frame(s) stay reserved after every image was unloaded, such as"
            check.findings.append(session.finding(ORACLE, "unload", message, pfn * PAGE))
        check.passed = not check.findings
        if not check.passed:
            check.detail = check.findings[0].message
        session.record(check)

    def _log(self, life: Life) -> None:
        check = Check("the kernel's log is clean", "console", True, compared=1)
        for line in life.console_problems()[:20]:
            stage = _stage_at(life.record.stages, line.time)
            check.findings.append(Finding("console", stage, line.text, life=life.record.index))
        check.passed = not check.findings
        check.detail = "" if check.passed else check.findings[0].message
        self._context.record(check)

    def _summarize(self, session: Session) -> None:
        checks = self._context.result.checks

        def named(name: str) -> list[int]:
            return [check.compared for check in checks if check.name == name]

        lists, exact = named(WELL_FORMED), named(PREDICTED)
        self._context.result.properties.update(
            pages_moved=str(session.given_up),
            proved=f"{session.made} calls, {len(lists)} page lists of {sum(lists)} words, "
            f"{sum(named(CONTENT))} source pages; {len(exact)} lists predicted word for word, "
            f"{session.given_up} of their pages moved onto their own destination",
        )

    def _fail(self, life: Life, name: str, message: str) -> None:
        stages = life.record.stages
        stage = stages[-1].name if stages else ""
        finding = Finding("life", stage, message, life=life.record.index)
        check = Check(name, "life", False, detail=message, findings=[finding])
        self._context.record(check)


def _stage_at(stages: list[StageRecord], time: float) -> str:
    """The stage that a moment of the run falls into; between two, the earlier."""
    begun = [stage.name for stage in stages if stage.start <= time]
    return begun[-1] if begun else ""


def _reserved(session: Session) -> set[int]:
    """Frames that are PG_reserved, as kimage_alloc_pages() marks those of an image."""
    with session.life.paused():
        runs = session.view.kernel.owner_runs()
    return {
        pfn
        for start, count, owner in runs
        if owner == "reserved"
        for pfn in range(start, start + count)
    }
