# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that ``kexec-plain`` puts into its own runs, each with the check that must find it.

`jumpback run kexec-plain --tamper NAME` must end FAIL, with the first finding where it says here
(scenarios/tests/test_kexec_plain.py holds it to that).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from harness.machine import Life

if TYPE_CHECKING:  # names of faults are listed where native modules may not be built
    from harness.jump.departure import Departure

_PAGE = 4096
_SLAVE_MASK = 0xA1  # port of the second 8259's interrupt mask


@dataclass
class PlainSite:
    """The machine stands still at the stop. ``done``: what was done, in words, for the report."""

    random: Random
    life: Life
    departure: Departure
    done: list[str] = field(default_factory=list)

    def flip(self, gpa: int) -> None:
        old = self.life.ram.read(gpa, 1)
        self.life.ram.write(gpa, bytes([old[0] ^ 1]))
        self.done.append(f"flipped a bit of the byte at GPA {gpa:#x}")


Hook = Callable[[PlainSite], None]


def _nothing(_: PlainSite) -> None:
    """Most faults are put in at one moment only."""


@dataclass(frozen=True)
class PlainTamper:
    name: str
    summary: str
    oracle: str  # of the first finding
    stage: str
    at_entry: Hook = _nothing  # stands at P1, nothing was looked at
    append_to_b: str = ""  # to B's command line
    wrong_nonce: bool = False  # B is told another one than the rig expects

    @property
    def expect(self) -> str:
        return f"FAIL, oracle {self.oracle}, stage {self.stage}"


def _flip_image(site: PlainSite) -> None:
    destination, _ = site.random.choice(site.departure.pairs)
    site.flip(destination + site.random.randrange(_PAGE))


def _flip_other(site: PlainSite) -> None:
    """In the last MiB but one of low RAM, in no page of the image or its list."""
    moves = site.departure.moves
    start, _, length = site.departure.regions[0]
    pfn = (start + length - (2 << 20)) // _PAGE
    while pfn in moves.destinations or pfn in moves.sources:
        pfn -= 1
    site.flip(pfn * _PAGE + site.random.randrange(_PAGE))


def _set_register(site: PlainSite) -> None:
    site.life.write_register(site.departure.cpu, "rbx", 1)
    site.done.append("rbx became 1 at the callee's entry")


def _set_word(site: PlainSite) -> None:
    """The word on top of the stack: what a jump would give as its way back."""
    top = site.life.registers(site.departure.cpu).general["rsp"]
    site.life.ram.write(top, (0x5FA00041).to_bytes(site.departure.side.word, "little"))
    site.done.append(f"the word at {top:#x} became 0x5fa00041")


def _mask_irq(site: PlainSite) -> None:
    site.life.monitor(f"o /b {_SLAVE_MASK:#x} 0xfe")
    site.done.append("the second 8259's mask became 0xfe")


_ENTRY = "callee-entry"
_ALL = (
    PlainTamper(
        "image-byte",
        "a byte of the image in its place is another",
        "jump-memory",
        _ENTRY,
        _flip_image,
    ),
    PlainTamper(
        "other-byte",
        "a byte that is no part of the image changes",
        "jump-memory",
        _ENTRY,
        _flip_other,
    ),
    PlainTamper("register", "a register is not cleared", "jump-cpu", _ENTRY, _set_register),
    PlainTamper("word", "the word for the way back is not zero", "jump-cpu", _ENTRY, _set_word),
    PlainTamper(
        "controllers",
        "an interrupt controller changes at the end",
        "jump-interrupts",
        _ENTRY,
        _mask_irq,
    ),
    PlainTamper(
        "offer",
        "B is offered a way back",
        "callee",
        _ENTRY,
        append_to_b="kexec_jump_back_entry=0x5fa00041",
    ),
    PlainTamper(
        "cpus", "B leaves all CPUs but one (--cpus 2)", "cpu", "check", append_to_b="maxcpus=1"
    ),
    PlainTamper(
        "nonce", "another kernel runs than the one loaded", "nonce", "callee", wrong_nonce=True
    ),
)

PLAIN_TAMPERS: dict[str, PlainTamper] = {tamper.name: tamper for tamper in _ALL}
