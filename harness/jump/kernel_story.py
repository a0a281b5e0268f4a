# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of a jump-kernel run: A loads B and jumps, B looks at A and jumps back, A goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.context import RunContext
from harness.jump.callee_checks import CalleeChecks
from harness.jump.boot_once import run_travel_story
from harness.jump.options import JumpOptions
from harness.jump.setup import jump_machine, require_jump
from harness.jump.site import JumpSite
from harness.jump.tampers import JumpTamper
from harness.jump.travel import Moments, Travel


def _quiet(_: JumpSite) -> None:
    """This fault has had its moment, or will have it later."""


class JumpKernelStory:
    def __init__(self, context: RunContext, options: JumpOptions) -> None:
        self._context = context
        self._options = options
        self._tamper = options.tamper or JumpTamper("", "")
        self._done: list[str] = []

    def run(self) -> None:
        """Records checks in the context's result."""
        require_jump(self._context)
        config = jump_machine(self._context, self._options)
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
            self._there_and_back(travel, site, first=True)
            for trip in range(2, self._options.trips + 1):
                progress.start(f"trip {trip} of {self._options.trips}", None)
                self._there_and_back(travel, site, first=False)
            travel.check_log()
            self._summarize(travel)
        finally:
            travel.close()

    def _there_and_back(self, travel: Travel, site: JumpSite, *, first: bool) -> None:
        tamper = self._tamper
        progress = self._context.progress
        checks = CalleeChecks(travel)
        progress.start("A to B", None)
        # A fault of the way back is put in when A returns.
        there = replace(tamper, at_return=_quiet, in_c=_quiet, returned=_quiet)
        result = travel.cross(Moments.of(there, site))
        if first:
            progress.start("B looks at A", None)
            with travel.stage("look"):
                checks.identity()
                checks.told()
                checks.reads_memory()
                checks.timer()
            travel.plant_in_b()
            travel.load_way_back()
        else:
            assert result is not None
            travel.check_result(travel.b, result)
            with travel.stage("check", note="B"):
                travel.check_running(travel.b)
                checks.timer()
        with travel.stage("callee", note="B runs"):
            tamper.in_callee(site)
        progress.start("B to A", None)
        back = replace(tamper, at_entry=_quiet, entered=_quiet)
        result = travel.cross(Moments.of(back, site))
        assert result is not None
        travel.check_result(travel.a, result)
        tamper.after_return(site)
        progress.start("A: check", None)
        with travel.stage("check", note="A"):
            travel.check_running(travel.a)
            checks.timer()

    def _summarize(self, travel: Travel) -> None:
        result = self._context.result
        compared = sum(check.compared for check in result.checks if check.oracle == "jump-memory")
        result.properties["proved"] = f"{travel.jumps} jumps, {compared} pages compared"
