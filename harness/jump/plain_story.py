# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of one kexec-plain run: A loads B without preserved context and leaves for good. B
boots in A's place, and is offered no way back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import jumpback_jump as jj

from harness.context import RunContext
from harness.jump.callee_checks import CalleeChecks
from harness.jump.departure import Departure
from harness.jump.loader import Loaded, load_kernel
from harness.jump.options import JumpOptions, command_line
from harness.jump.plain_proof import PlainProof
from harness.jump.plain_tampers import PlainSite, PlainTamper
from harness.jump.setup import jump_machine, require_jump, run_story
from harness.jump.travel import Travel
from harness.machine import Life
from harness.oracles.jump_interrupts import InterruptProof
from harness.oracles.jump_trace import TraceRecorder
from harness.oracles.liveness import LivenessChecks

_OFFER = re.compile(r"\bkexec_jump_back_entry=(\S+)")
_SECTOR = 512


@dataclass(frozen=True)
class PlainOptions:
    acpi: bool = True
    tamper: PlainTamper | None = None


class PlainStory:
    def __init__(self, context: RunContext, options: PlainOptions) -> None:
        self._context = context
        self._options = options
        self._tamper = options.tamper or PlainTamper("", "", "", "")
        self._done: list[str] = []

    def run(self) -> None:
        """Records checks in the context's result."""
        require_jump(self._context)
        self._jump = JumpOptions(acpi=self._options.acpi)
        config = jump_machine(self._context, self._jump)
        run_story(self._context, config, self._tell, self._done)

    def _tell(self, life: Life) -> None:
        progress = self._context.progress
        travel = Travel.begin(self._context, self._jump, life)
        proof = PlainProof(self._context, life)
        try:
            progress.start("A: boot, load B", None)
            travel.boot()
            travel.plant_in_a()
            self._load(travel)
            progress.start("A to B", None)
            self._leave(travel, proof)
            progress.start("B: boot, check", None)
            with travel.stage("callee", note="B boots"):
                life.resume()
                travel.await_hello()
            with travel.stage("look"):
                self._look(travel)
            travel.check_log()
            self._summarize(travel)
        finally:
            proof.close()
            travel.close()

    def _load(self, travel: Travel) -> None:
        nonce = travel.b.nonce[::-1] if self._tamper.wrong_nonce else travel.b.nonce
        words = command_line(
            self._context, self._jump, f"jumpback.life={nonce}", self._tamper.append_to_b
        )
        with travel.stage("load"), travel.link.asking() as agent:
            travel.loaded = load_kernel(agent, self._jump.window, words, plain=True)
            with travel.life.paused():
                travel.a.side = travel.look(travel.a)

    def _leave(self, travel: Travel, proof: PlainProof) -> None:
        context, side = self._context, travel.a.side
        assert side is not None and travel.loaded is not None
        trace = TraceRecorder(travel.life, side.symbols, side.arch, side.release)
        interrupts = InterruptProof(context, travel.life, side, "plain kexec")
        with travel.stage("departure"):
            context.reached_target()
            proof.arm(side)
            trace.start()
            with travel.link.asking() as agent:
                agent.jump()
            travel.a.jumps += 1
            interrupts.run_to_shutdown()
            interrupts.before_suspend()
            departure = proof.depart(side)
            travel.a.departure = departure
            context.record(trace.check(trace.stop(), jj.Scenario("plain")))
            interrupts.at_departure()
        with travel.stage("callee-entry"):
            proof.run_to_entry(departure)
            self._tamper.at_entry(PlainSite(context.random, travel.life, departure, self._done))
            proof.at_entry(departure)
            self._contents(proof, travel.loaded)
            interrupts.at_entry()

    def _contents(self, proof: PlainProof, loaded: Loaded) -> None:
        """The kernel's protected-mode part, by the boot protocol's number of setup sectors."""
        image = self._context.kernel.bzimage.read_bytes()
        sectors = (image[0x1F1] or 4) + 1
        proof.contents("B's kernel", loaded.kernel, image[sectors * _SECTOR :])

    def _look(self, travel: Travel) -> None:
        """B is up."""
        assert travel.loaded is not None
        travel.running = travel.b
        checks = CalleeChecks(travel)
        checks.identity()
        self._no_offer(travel, travel.loaded)
        with travel.life.paused():
            travel.b.side = travel.look(travel.b)
        checks.timer()
        with travel.link.asking() as agent:
            cpus = LivenessChecks(agent, travel.life, 0).cpus(self._context.options.cpus)
            self._context.record(cpus)

    def _no_offer(self, travel: Travel, loaded: Loaded) -> None:
        """Neither on B's command line, nor in the first code's own memory of the word it found."""
        with travel.link.asking() as agent:
            found = _OFFER.search(agent.run("cat /proc/cmdline").text)
        with travel.life.paused():
            word = int.from_bytes(travel.life.read_physical(loaded.word, 8), "little")
        problems = []
        if found is not None:
            problems.append(f"kexec_jump_back_entry={found[1]} on B's command line")
        if word:
            problems.append(f"the first code found {word:#x} where the way back would be")
        travel.fail_or_pass("B is offered no way back", "callee", "callee-entry", problems)

    def _summarize(self, travel: Travel) -> None:
        departure = travel.a.departure
        assert isinstance(departure, Departure)
        self._context.result.properties[
            "proved"
        ] = f"{len(departure.pairs)} pages of the image in their places, all others as they were"
