# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that ``jump-race`` puts into its own runs, each with the check that must find it.

`jumpback run jump-race --tamper NAME` must end FAIL, with the first finding where it says here
(scenarios/tests/test_jump_race.py holds it to that).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from harness.agent import Agent
from harness.kexec.guest_view import GuestView
from harness.machine import Life
from harness.machine.breakpoints import Hit
from harness.symbols import Symbols

_LOCKED = 1
_LOST = 11  # the jumps of ten rounds and the one behind them


@dataclass
class RaceSite:
    """``done``: what was done, in words, for the report."""

    random: Random
    symbols: Symbols
    life: Life
    view: GuestView
    agent: Agent
    done: list[str] = field(default_factory=list)


Hook = Callable[[RaceSite], None]


def _nothing(_: RaceSite) -> None:
    """Most faults are put in at one moment only."""


@dataclass(frozen=True)
class RaceTamper:
    name: str
    summary: str
    oracle: str  # of the first finding
    stage: str
    before_races: Hook = _nothing  # the machine runs, its agent listens
    after_races: Hook = _nothing  # the same; an image may be loaded
    at_end: Hook = _nothing  # stands still; everything is unloaded

    @property
    def expect(self) -> str:
        return f"FAIL, oracle {self.oracle}, stage {self.stage}"


def _lose_image(site: RaceSite) -> None:
    """At the first calls of kernel_kexec() the pointer to the image goes, as if a race had taken
    it. Among them is one that nobody disturbs: there a later load cannot hide it."""
    word = site.view.word
    pointer = site.symbols.address("kexec_image")
    lost: list[int] = []

    def lose(hit: Hit) -> bool:
        there = int.from_bytes(hit.read_virtual(pointer, word), "little")
        if there and len(lost) < _LOST:
            lost.append(there)
            hit.gdb.write_memory(hit.thread, pointer, bytes(word))
            site.done.append(f"kexec_image, {there:#x}, became null at kernel_kexec()")
        return False

    site.life.add_breakpoint(site.symbols.address("kernel_kexec"), condition=lose)


def _hold_lock(site: RaceSite) -> None:
    """As if somebody had gone away with it."""
    with site.life.paused():
        site.view.write_variable("__kexec_lock", _LOCKED)
    site.done.append("__kexec_lock was taken")


def _leak(site: RaceSite) -> None:
    """As kimage_alloc_pages() marks its frames: PG_reserved stands right below PG_private."""
    view = site.view
    info = view.kernel.vmcoreinfo
    runs = view.kernel.owner_runs()
    pfn = site.random.choice([start for start, _, owner in runs if owner == "anonymous"])
    flags = view.pages.address_of(pfn) + int(info["OFFSET(page.flags)"])
    gpa = view.kernel.translate(flags)[0]
    value = int.from_bytes(view.ram.read(gpa, view.word), "little")
    view.write_word(gpa, value | 1 << (int(info["NUMBER(PG_private)"]) - 1))
    site.done.append(f"frame {pfn:#x}, of a process, was marked as reserved")


def _oops(site: RaceSite) -> None:
    site.agent.run("echo '<2>BUG: made by the rig' > /dev/kmsg")
    site.done.append("a line of BUG: was put into the kernel's log")


def _use_memory(site: RaceSite) -> None:
    """A file in the guest's RAM stands for pages that nobody gives back."""
    site.agent.run("dd if=/dev/zero of=/leaked bs=1M count=16")
    site.done.append("16 MiB of RAM were taken")


_ORACLE = "jump-race"

_ALL = (
    RaceTamper(
        "lost-image",
        "the kernel loses the loaded image before a jump",
        _ORACLE,
        "race",
        before_races=_lose_image,
    ),
    RaceTamper(
        "lock",
        "somebody keeps the lock of kexec",
        _ORACLE,
        "clean-jump",
        after_races=_hold_lock,
    ),
    RaceTamper(
        "leak",
        "a frame looks as if an unloaded image still had it",
        _ORACLE,
        "unload",
        at_end=_leak,
    ),
    RaceTamper(
        "memory", "the guest lacks memory afterwards", _ORACLE, "unload", after_races=_use_memory
    ),
    RaceTamper("log", "the kernel's log tells of a bug", "console", "race", before_races=_oops),
)

RACE_TAMPERS: dict[str, RaceTamper] = {tamper.name: tamper for tamper in _ALL}
