# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of a jump-snapshot run: B saves A's memory to a disk, A goes on and changes, B saves it
once more.
"""

from __future__ import annotations

import os

from harness.context import RunContext
from harness.jump.options import JumpOptions
from harness.jump.setup import jump_machine, require_jump, run_story
from harness.jump.side import PAGE
from harness.jump.snapshot_save import ControlWords, Saved, save, system_ram
from harness.jump.snapshot_tampers import SavedSite, SnapshotTamper
from harness.jump.travel import Travel
from harness.machine import Life
from harness.oracles.vmcore import BadVmcore, Vmcore
from harness.oracles.vmcore_change import Planted, Snapshot, compare_snapshots
from harness.oracles.vmcore_checks import ORACLE, VmcoreChecks
from harness.oracles.vmcore_tools import ToolChecks

_DEVICES = ("/dev/vda", "/dev/vdb")  # of both kernels
_ROOM = 8 << 20  # of a disk beyond RAM: headers and notes
_CHANGED, _KEPT = "snapshot-changed", "snapshot-kept"
_SCRIBBLE = "dd if=/dev/urandom of=/tmp/snapshot bs=65536 count=4"  # 64 pages of A's memory


class SnapshotStory:
    def __init__(
        self, context: RunContext, options: JumpOptions, tamper: SnapshotTamper | None
    ) -> None:
        self._context = context
        self._options = options
        self._tamper = tamper
        self._done: list[str] = []
        self._ranges: list[tuple[int, int]] = []
        self._values: list[str] = []  # of the page that changes, by snapshot
        self._snapshots: list[Snapshot] = []
        self._told = False  # to the end
        self._disks = [context.folder / f"snapshot-{number}.vmcore" for number in (1, 2)]

    def run(self) -> None:
        """Records checks in the context's result."""
        context = self._context
        require_jump(context)
        size = (context.options.memory_mib << 20) + _ROOM
        for disk in self._disks:
            with disk.open("xb") as file:
                os.truncate(file.fileno(), size)
        config = jump_machine(context, self._options, tuple(self._disks))
        try:
            run_story(context, config, self._tell, self._done)
        finally:
            self._snapshots.clear()
            # Those of a failed run are its evidence.
            proved = self._told and all(check.passed for check in context.result.checks)
            if proved and not context.options.keep:
                for disk in self._disks:
                    disk.unlink(missing_ok=True)

    def _tell(self, life: Life) -> None:
        progress = self._context.progress
        travel = Travel.begin(self._context, self._options, life)
        try:
            progress.start("A: boot, load B", None)
            travel.boot()
            travel.plant_in_a()
            travel.load()
            kept = self._plant(travel)
            self._there_and_back(travel, 1)
            changed = self._change(travel)
            self._there_and_back(travel, 2, [kept, changed])
            travel.check_log()
            progress.start("readelf, makedumpfile", None)
            with travel.stage("tools"), travel.life.paused():
                self._open_with_tools(travel)
            self._summarize(travel)
            self._told = True
        finally:
            self._snapshots.clear()
            travel.close()

    def _plant(self, travel: Travel) -> Planted:
        """What stays as it is, and the first value of what is to change."""
        value = f"{self._context.random.getrandbits(64):016x}"
        with travel.stage("plant", note="in A"), travel.link.asking() as agent:
            self._ranges = system_ram(agent)
            kept = agent.plant(_KEPT, value)
            self._values.append(value[::-1])
            agent.plant(_CHANGED, self._values[0])
        assert kept.pa is not None
        return Planted("the page that A leaves alone", kept.pa, value.encode(), value.encode())

    def _change(self, travel: Travel) -> Planted:
        self._values.append(f"{self._context.random.getrandbits(64):016x}")
        with travel.stage("change"), travel.link.asking() as agent:
            page = agent.plant(_CHANGED, self._values[1])
            agent.run(_SCRIBBLE)
        assert page.pa is not None
        first, second = (value.encode() for value in self._values)
        return Planted("the page that A changes", page.pa, first, second)

    def _there_and_back(
        self, travel: Travel, number: int, planted: list[Planted] | None = None
    ) -> None:
        progress = self._context.progress
        progress.start(f"A to B, snapshot {number}", None)
        result = travel.cross(note=f"snapshot {number}")
        if result is None:
            travel.plant_in_b()
            travel.load_way_back()
        else:
            travel.check_result(travel.b, result)
            with travel.stage("check", note="B"):
                travel.check_running(travel.b)
        with travel.stage("save", note=str(number)):
            self._save(travel, number)
            self._judge(travel, number, planted or [])
        progress.start(f"B to A, snapshot {number}", None)
        result = travel.cross(note=f"snapshot {number}")
        assert result is not None
        travel.check_result(travel.a, result)
        with travel.stage("check", note="A"):
            travel.check_running(travel.a)

    def _save(self, travel: Travel, number: int) -> None:
        departure = travel.a.departure
        assert departure is not None
        tamper = self._tamper if self._tamper and self._tamper.number == number else None
        if tamper is None or not tamper.skip:
            with travel.link.asking() as agent:
                saved = save(
                    agent,
                    _DEVICES[number - 1],
                    ControlWords.of(departure),
                    travel.life.remaining(),
                    ignore_map=tamper is not None and tamper.ignore_map,
                )
            self._note(number, saved)
            if tamper is not None and tamper.ignore_map:
                self._done.append("left out the page list of the jump")
        if tamper is not None:
            allowed = departure.side.kernel.allowances(departure.places, "there", True)
            tamper.saved(
                self._site(number, frozenset(allowance.gpa // PAGE for allowance in allowed))
            )

    def _note(self, number: int, saved: Saved) -> None:
        self._context.result.properties[f"snapshot_{number}"] = (
            f"{saved.pages} pages in {saved.stretches} stretches, {saved.moved} of them from "
            f"elsewhere, {saved.left_out} left out, {saved.written} bytes written"
        )

    def _judge(self, travel: Travel, number: int, planted: list[Planted]) -> None:
        departure = travel.a.departure
        assert departure is not None
        life = travel.life.record.index
        checks = VmcoreChecks(departure, self._ranges, number, life)
        with travel.life.paused():
            try:
                core = Vmcore.read(self._disks[number - 1])
                made = checks.read(core)
            except BadVmcore as error:
                made = [checks.unreadable(error)]
            else:
                self._snapshots.append(Snapshot(core, departure.memory))
            if len(self._snapshots) == 2:
                first, second = self._snapshots
                made += compare_snapshots(first, second, departure, planted, life)
        for check in made:
            self._context.record(check)

    def _open_with_tools(self, travel: Travel) -> None:
        context = self._context
        tools = ToolChecks(context, travel.life.record.index)
        for number, snapshot in enumerate(self._snapshots, 1):
            if self._tamper and self._tamper.number == number:
                self._tamper.opened(self._site(number))
            for check in tools.open(snapshot.core, number, travel.a.nonce):
                context.record(check)

    def _site(self, number: int, avoid: frozenset[int] = frozenset()) -> SavedSite:
        disks = self._disks
        return SavedSite(
            self._context.random, disks[number - 1], disks[: number - 1], avoid, self._done
        )

    def _summarize(self, travel: Travel) -> None:
        result = self._context.result
        compared = sum(check.compared for check in result.checks if check.oracle == ORACLE)
        result.properties["proved"] = (
            f"{travel.jumps} jumps, {len(self._snapshots)} snapshots, {compared} of their pages "
            "and headers compared"
        )
