# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that the rig puts into its jumps from kernel to kernel, each with what must come of it

A tamper is the red twin of an oracle: `jumpback run jump-kernel --tamper NAME` must end with the
verdict, the oracle and the stage that stand here (scenarios/tests/test_jump_kernel.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.verdict import Verdict

if TYPE_CHECKING:  # names of faults are listed where native modules may not be built
    from harness.jump.site import JumpSite

Hook = Callable[["JumpSite"], None]


def _nothing(_: JumpSite) -> None:
    """Most faults act at one moment only."""


def _later(name: str) -> Hook:
    """A function of harness/jump/faults.py, which needs native modules: looked up when it acts."""

    def hook(site: JumpSite) -> None:
        from harness.jump import faults

        act: Hook = getattr(faults, name)
        act(site)

    return hook


@dataclass(frozen=True)
class JumpTamper:
    name: str
    summary: str
    oracle: str = ""  # of the first finding; "" if the verdict says all
    stage: str = ""  # that must be blamed
    verdict: Verdict = Verdict.FAIL
    at_entry: Hook = _nothing  # stands at the callee's entry, not yet compared
    entered: Hook = _nothing  # the same, proved
    in_callee: Hook = _nothing  # B runs, its agent listens
    at_return: Hook = _nothing  # pages are back in place, not yet compared
    in_c: Hook = _nothing  # back in machine_kexec(), registers not yet compared
    returned: Hook = _nothing  # the same, proved
    after_return: Hook = _nothing  # the kernel runs, its agent listens
    append_to_b: str = ""  # to B's command line
    limits: Mapping[str, float] = field(default_factory=dict)  # seconds a stage, else as usual
    in_pingpong: bool = False  # also makes sense in a switch

    @property
    def acts_by_configuration(self) -> bool:
        """It changes what the run is made of; no hook says what it did."""
        return bool(self.append_to_b)

    @property
    def expect(self) -> str:
        where = f", oracle {self.oracle}" if self.oracle else ""
        stage = f", stage {self.stage}" if self.stage else ""
        return f"{self.verdict.value}{where}{stage}"


_ALL = (
    JumpTamper(
        "entry-byte",
        "one byte of the kernel that left is flipped when the other one is about to run",
        oracle="jump-memory",
        stage="callee-entry",
        at_entry=_later("flip_at_entry"),
        in_pingpong=True,
    ),
    JumpTamper(
        "stray-write",
        "one byte of A's memory changes while B runs, as if B had written outside its window",
        oracle="jump-memory",
        stage="callee",
        in_callee=_later("flip_in_callee"),
    ),
    JumpTamper(
        "window-too-large",
        "B is told that 16 MiB of A's memory are its own",
        oracle="callee",
        stage="callee",
        append_to_b="memmap=16M%128M-2+1",
    ),
    JumpTamper(
        "return-byte",
        "one byte of the kernel that is returned to is flipped once its pages are back",
        oracle="jump-memory",
        stage="return",
        at_return=_later("flip_at_return"),
        in_pingpong=True,
    ),
    JumpTamper(
        "image-page",
        "one byte of what B has left is flipped in the pages in which A keeps it",
        oracle="jump-memory",
        stage="return",
        at_return=_later("flip_image_page"),
    ),
    JumpTamper(
        "register",
        "a register that C relies on is changed when relocate_kernel returns to A",
        oracle="jump-cpu",
        stage="return",
        in_c=_later("change_register"),
    ),
    JumpTamper(
        "ioapic",
        "one saved IOAPIC entry is changed before the kernel writes it back",
        oracle="jump-interrupts",
        stage="resume",
        returned=_later("change_saved_ioapic"),
        in_pingpong=True,
    ),
    JumpTamper(
        "no-way-back",
        "the code before B's entry is made to forget where B may jump back to",
        oracle="callee",
        stage="callee-entry",
        entered=_later("hide_way_back"),
    ),
    JumpTamper(
        "other-kernel",
        "B's command line has another nonce: it could be any kernel",
        oracle="nonce",
        stage="callee",
        append_to_b="jumpback.life=",
    ),
    JumpTamper(
        "kill-counter",
        "the counting process is killed after the return",
        oracle="workload",
        stage="check",
        after_return=_later("kill_counter"),
        in_pingpong=True,
    ),
    JumpTamper(
        "nonce",
        "the nonce in A's memory is planted anew after the return",
        oracle="nonce",
        stage="restore",
        after_return=_later("replant_nonce"),
    ),
    JumpTamper(
        "panic",
        "B is made to panic",
        verdict=Verdict.PANIC,
        stage="callee",
        in_callee=_later("panic"),
    ),
    JumpTamper(
        "hang",
        "B is made to spin for ever on its way back",
        verdict=Verdict.HANG,
        stage="departure",
        limits={"departure": 6.0},
        in_callee=_later("spin"),
    ),
    JumpTamper(
        "triple-fault",
        "B loses its IDT and faults on its way back",
        oracle="jump-cpu",
        stage="P0 departure",
        in_callee=_later("triple_fault"),
    ),
)

JUMP_TAMPERS: dict[str, JumpTamper] = {tamper.name: tamper for tamper in _ALL}
PINGPONG_TAMPERS = {name: each for name, each in JUMP_TAMPERS.items() if each.in_pingpong}
