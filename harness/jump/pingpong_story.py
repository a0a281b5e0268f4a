# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of a jump-pingpong run: two kernels that have both booted take turns, many times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.agent_state import CounterState
from harness.context import RunContext
from harness.hibernation.notes import note_memory
from harness.jump.instructions import InstructionCount
from harness.jump.boot_once import run_travel_story
from harness.jump.options import JumpOptions
from harness.jump.setup import jump_machine, require_jump
from harness.jump.site import JumpSite
from harness.jump.tampers import JumpTamper
from harness.jump.travel import Kernel, Moments, Travel
from harness.oracles.liveness import COUNTER

_SETTLED = 2  # turns of a kernel after which its caches are filled: memory is judged from here on
# Settled turns of a kernel. Of fewer nothing can be said: slabs and page caches still grow (seen:
# 16 pages in 9 turns of a kernel that loses none over 100 switches).
_FEWEST = 22
# Switches from one look at nonces, workloads and CPUs to the next: odd, so that both kernels are
# looked at in turn. Each has one of the last switches.
_LOOK, _LAST = 9, 2


@dataclass
class _Told:
    """What a kernel has told over its turns."""

    counts: list[int] = field(default_factory=list)
    free: list[int] = field(default_factory=list)  # pages


class PingPongStory:
    def __init__(self, context: RunContext, options: JumpOptions) -> None:
        self._context = context
        self._options = options
        self._tamper = options.tamper or JumpTamper("", "")
        self._done: list[str] = []
        self._told = {"A": _Told(), "B": _Told()}
        self._seconds: list[float] = []
        self._counter: InstructionCount | None = None
        self._instructions: list[int] = []  # of each switch

    def run(self) -> None:
        """Records checks in the context's result."""
        require_jump(self._context)
        config = jump_machine(self._context, self._options)
        if self._options.count_instructions:
            self._counter = InstructionCount(self._context)
            config = self._counter.config(config)
        run_travel_story(self._context, self._options, config, self._tell, self._done)

    def _tell(self, travel: Travel, get_up: Callable[[], None]) -> None:
        progress = self._context.progress
        life = travel.life
        site = JumpSite(self._context.random, self._context.symbols, life, travel, self._done)
        try:
            progress.start("A: boot, load B", None)
            get_up()
            travel.load()
            travel.plant_in_a()
            booted = time.monotonic()
            counted = self._count(travel)
            travel.cross()
            travel.plant_in_b()
            travel.load_way_back()
            booted = time.monotonic() - booted
            counted = self._count(travel) - counted
            self._listen(travel)
            switches = self._options.switches
            progress.start("switches", switches)
            for number in range(1, switches + 1):
                self._switch(travel, site, number)
                progress.update(number)
            self._judge(travel)
            travel.check_log()
            self._summarize(booted, counted)
        finally:
            travel.close()
            if self._counter is not None:
                self._counter.close()

    def _count(self, travel: Travel) -> int:
        """Guest instructions since the machine began."""
        if self._counter is None:
            return 0
        with travel.life.paused():
            return self._counter.read()

    def _switch(self, travel: Travel, site: JumpSite, number: int) -> None:
        tamper = self._tamper if number == self._options.switches else JumpTamper("", "")
        began = time.monotonic()
        counted = self._count(travel)
        result = travel.cross(Moments.of(tamper, site), note=f"switch {number}")
        assert result is not None
        self._seconds.append(time.monotonic() - began)
        self._instructions.append(self._count(travel) - counted)
        travel.check_result(travel.running, result)
        tamper.after_return(site)
        with travel.stage("check", note=f"switch {number}"):
            self._listen(travel)
            if number % _LOOK == 0 or number > self._options.switches - _LAST:
                travel.check_running(travel.running)

    def _listen(self, travel: Travel) -> None:
        """The counter of the kernel that runs, and its free memory, read from outside."""
        kernel = travel.running
        told = self._told[kernel.role]
        with travel.link.asking() as agent:
            state = agent.query(COUNTER, CounterState)
        told.counts.append(state.count)
        with travel.life.paused():
            told.free.append(_free_pages(travel, kernel))

    def _judge(self, travel: Travel) -> None:
        for role, told in self._told.items():
            pairs = zip(told.counts, told.counts[1:])
            stuck = [turn for turn, (before, after) in enumerate(pairs, 1) if after <= before]
            problems = [f"{role}'s counter did not go on in its turn {turn}" for turn in stuck]
            travel.fail_or_pass(f"{role}'s counter goes on", "workload", "check", problems)
            settled = told.free[_SETTLED:]
            if len(settled) < _FEWEST:
                self._context.result.properties[f"memory_of_{role}"] = (
                    f"not judged: {len(told.free)} turns are too few, it takes "
                    f"{_SETTLED + _FEWEST}"
                )
                continue
            problems = [f"{role}: {problem}" for problem in sinking(settled)]
            travel.fail_or_pass(f"{role}'s memory use is flat", "workload", "check", problems)

    def _summarize(self, booted: float, counted: int) -> None:
        result = self._context.result
        note_memory(result)
        compared = sum(check.compared for check in result.checks if check.oracle == "jump-memory")
        median = statistics.median(self._seconds)
        result.properties.update(
            switch_seconds_median=f"{median:.3f}",
            switch_seconds_longest=f"{max(self._seconds):.3f}",
            first_jump_and_boot_seconds=f"{booted:.3f}",
            proved=f"{len(self._seconds)} switches, {compared} pages compared, "
            f"{median:.2f} s a switch where the first jump and B's boot took {booted:.2f} s",
        )
        if self._counter is not None:
            usual = statistics.median(self._instructions)
            result.properties.update(
                switch_instructions_median=f"{usual:.0f}",
                switch_instructions_most=f"{max(self._instructions)}",
                first_jump_and_boot_instructions=f"{counted}",
            )
            result.properties["proved"] += (
                f"; {usual / 1e6:.1f} million guest instructions a switch, "
                f"{counted / 1e6:.1f} million the first jump and B's boot"
            )


def sinking(free: Sequence[int]) -> list[str]:
    """What is wrong with a kernel's free pages, turn by turn: they sink all the time, by more than
    a page in two turns. What is taken once, as a list of a CPU is filled, is no leak: the lowest of
    the first, the middle and the last third are compared. A leak that is smaller than what comes
    and goes from turn to turn is seen in long runs only."""
    turns = len(free)
    third = turns // 3
    starts = (0, (turns - third) // 2, turns - third)
    first, middle, last = (min(free[start : start + third]) for start in starts)
    noise = statistics.median(abs(after - before) for before, after in zip(free, free[1:]))
    if min(first - middle, middle - last) <= max(turns / 4, 2 * noise):
        return []
    return [f"of {first} free pages {middle} are left, then {last}, in {turns} turns"]


def _free_pages(travel: Travel, kernel: Kernel) -> int:
    """vm_zone_stat[NR_FREE_PAGES], the first counter of enum zone_stat_item (linux/mmzone.h), with
    what the CPUs keep to themselves (struct per_cpu_zonestat) left out: it is folded in when all
    others are taken down."""
    assert kernel.side is not None
    return kernel.side.view.variable("vm_zone_stat")
