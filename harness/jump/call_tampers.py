# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that ``jump-call`` puts into its own runs, each with the check that must find it.

`jumpback run jump-call --tamper NAME` must end FAIL with the first finding where it says here
(scenarios/tests/test_jump_call.py holds it to that). Every hook notes in ``site.done`` what it did,
and acts once in a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.faults.planted_page import PAGE, spare_byte
from harness.verdict import Verdict

if TYPE_CHECKING:  # names of faults are listed where native modules may not be built
    from harness.agent import Agent
    from harness.jump.call_result import Orders
    from harness.jump.call_site import CallSite
    from harness.oracles.liveness import Planted

_RET = b"\xc3"

Hook = Callable[["CallSite"], None]


def _nothing(_: CallSite) -> None:
    """Most faults act at one moment only."""


@dataclass(frozen=True)
class CallTamper:
    """``payload``: which one it is for; "": any."""

    name: str
    summary: str
    oracle: str = ""  # of the first finding
    stage: str = ""  # of the first finding
    verdict: Verdict = Verdict.FAIL
    payload: str = ""
    stray: bool = False  # the payload is ordered to write outside of its pages
    at_entry: Hook = _nothing  # stands at the payload's entry, which has been proved
    at_return_point: Hook = _nothing  # the payload is done and its memory proved, its results not
    after_callee: Hook = _nothing  # the same, its results proved as well
    at_return: Hook = _nothing  # back in machine_kexec(), proved
    after_all: Callable[[Agent, list[str]], None] | None = None  # A runs, the agent listens

    @property
    def expect(self) -> str:
        where = f", oracle {self.oracle}" if self.oracle else ""
        stage = f", stage {self.stage}" if self.stage else ""
        return f"{self.verdict.value}{where}{stage}"

    def change_orders(self, orders: Orders, planted: Planted) -> Orders:
        return replace(orders, stray=spare_byte(planted)) if self.stray else orders


def _once(act: Callable[[CallSite], str]) -> Hook:
    """``act`` says what it did."""

    def hook(site: CallSite) -> None:
        if not site.done:
            site.done.append(act(site))

    return hook


def _flip(site: CallSite, gpa: int) -> None:
    site.life.ram.write(gpa, bytes([site.read(gpa, 1)[0] ^ 1]))


def _flip_spare_byte(site: CallSite) -> str:
    gpa = spare_byte(site.planted)
    _flip(site, gpa)
    return f"flipped RAM byte at GPA {gpa:#x}"


def _flip_result(site: CallSite) -> str:
    gpa = site.symbol("worked") + 4 * site.random.randrange(PAGE // 4 - 1)
    _flip(site, gpa)
    return f"flipped a bit of the payload's result at GPA {gpa:#x}"


def _flip_map(site: CallSite) -> str:
    gpa = site.symbol("map") + 24 + 8
    _flip(site, gpa)
    return f"flipped a bit of the BIOS's memory map at GPA {gpa:#x}"


def _flip_observed(site: CallSite) -> str:
    """CR0 as the payload wrote it down in its first record."""
    gpa = site.symbol("result") + 256 + 16
    _flip(site, gpa)
    return f"flipped a bit of the CR0 that the payload saw, at GPA {gpa:#x}"


def _return_at_once(site: CallSite) -> str:
    site.life.write_virtual(site.entry, _RET)
    return f"put a ret at the payload's entry {site.entry:#x}"


def _spare_registers(site: CallSite) -> str:
    """As if the payload had left RBX (EBX) as it was: the check of the ruin must see that."""
    assert site.departure is not None and site.departure.callee is not None
    general = site.departure.callee.general
    was, general["rbx"] = general["rbx"], 1
    return f"told the check that the payload left rbx as 1, not {was:#x}"


def _change_saved_register(site: CallSite) -> str:
    """relocate_kernel's first push, on the caller's stack."""
    # Here: what it reads with needs the native modules.
    from harness.jump.page_walk import PageTables

    departure = site.departure
    assert departure is not None
    registers = departure.registers
    tables = PageTables(departure.memory, registers.control["cr3"], site.payload.arch, registers)
    gpa = tables.walk((registers.sp - site.word) & (1 << 8 * site.word) - 1).gpa
    assert gpa is not None, "the kernel's stack is mapped"
    source = departure.moves.source_of(gpa // PAGE)
    if source is not None:  # the payload stands there now
        gpa = source * PAGE + gpa % PAGE
    _flip(site, gpa)
    name = "rbx" if site.word == 8 else "ebx"
    return f"flipped a bit of the saved {name} at GPA {gpa:#x}"


def _change_reentry_word(site: CallSite) -> str:
    """Where the payload says that the next call enters."""
    assert site.departure is not None and site.departure.callee is not None
    gpa = site.departure.callee.sp & (1 << 8 * site.word) - 1
    was = site.number(gpa, site.word)
    site.life.ram.write(gpa, (was + 16).to_bytes(site.word, "little"))
    return f"changed the re-entry word at GPA {gpa:#x} from {was:#x} to {was + 16:#x}"


def _change_saved_ioapic(site: CallSite) -> str:
    # Here: the machine needs the native modules.
    from harness.faults.saved_ioapic import change_saved_ioapic

    return change_saved_ioapic(site.life, site.symbols)


def _lose_tick(site: CallSite) -> str:
    """timekeeping's resume hook returns before it has started the tick again."""
    address = site.symbols.address("tick_resume")
    site.life.write_virtual(address, _RET)
    return f"put a ret at tick_resume() {address:#x}"


def _log_bug(agent: Agent, done: list[str]) -> None:
    line = "BUG: put in by --tamper log"
    agent.run(f"echo '<1>{line}' > /dev/kmsg")
    done.append(f"the kernel's log got the line {line!r}")


_MEMORY, _CPU, _PAYLOAD = "jump-memory", "jump-cpu", "payload"
_CALLEE, _RETURN = "callee", "return"

_ALL = (
    CallTamper(
        "stray-byte",
        "the payload flips one byte of A outside of its pages",
        _MEMORY,
        _CALLEE,
        stray=True,
    ),
    CallTamper(
        "memory-byte",
        "one byte of A's RAM is flipped while the payload is on its way back",
        _MEMORY,
        _RETURN,
        after_callee=_once(_flip_spare_byte),
    ),
    CallTamper(
        "register",
        "a register that relocate_kernel saved on A's stack is changed before it is taken back",
        _CPU,
        _RETURN,
        after_callee=_once(_change_saved_register),
    ),
    CallTamper(
        "reentry-word",
        "the payload's word for where the next call enters is changed",
        _PAYLOAD,
        _RETURN,
        after_callee=_once(_change_reentry_word),
    ),
    CallTamper(
        "result",
        "one bit of what the payload computed is flipped before it is read",
        _PAYLOAD,
        _CALLEE,
        at_return_point=_once(_flip_result),
    ),
    CallTamper(
        "observed",
        "one bit of the CR0 that the payload saw is flipped before it is read",
        _PAYLOAD,
        _CALLEE,
        at_return_point=_once(_flip_observed),
    ),
    CallTamper(
        "idle",
        "the payload returns at its first instruction",
        _PAYLOAD,
        _CALLEE,
        at_entry=_once(_return_at_once),
    ),
    CallTamper(
        "spared",
        "the check of what the payload ruins is told of a register that it did not",
        _PAYLOAD,
        _CALLEE,
        payload="ruin",
        at_return_point=_once(_spare_registers),
    ),
    CallTamper(
        "bios-map",
        "one bit of the BIOS's memory map is flipped before it is read",
        _PAYLOAD,
        _CALLEE,
        payload="bios",
        at_return_point=_once(_flip_map),
    ),
    CallTamper(
        "ioapic",
        "one saved IOAPIC entry is changed before A writes it back",
        "jump-interrupts",
        "resume",
        at_return=_once(_change_saved_ioapic),
    ),
    CallTamper(
        "tick",
        "A does not start its tick again",
        "jump-interrupts",
        "resume",
        at_return=_once(_lose_tick),
    ),
    CallTamper(
        "log",
        "the kernel's log tells of a bug after the calls",
        "console",
        "check",
        after_all=_log_bug,
    ),
)

CALL_TAMPERS: dict[str, CallTamper] = {tamper.name: tamper for tamper in _ALL}
