# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of a kexec-load run share: the machine, the model, and how calls are made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.agent import Agent
from harness.context import RunContext
from harness.kexec.calls import PAGE, Call
from harness.kexec.guest_view import GuestView
from harness.kexec.loader import make_calls
from harness.kexec.model import Answer, CallState, Model
from harness.kexec.options import LIMITS, KexecOptions
from harness.kexec.table import Room
from harness.kexec.site import Site
from harness.machine import Life
from harness.results import Check, Finding

# A call, what the model expects of it, what the kernel said.
Made = tuple[Call, Answer, str]

UNLOAD = Call("unload", unload=True)


@dataclass
class Session:
    context: RunContext
    options: KexecOptions
    life: Life
    view: GuestView
    model: Model
    room: Room
    site: Site
    agent: Agent
    made: int = 0  # calls so far
    given_up: int = 0  # pages that were moved onto their own destination

    def make(self, calls: Sequence[Call], state: CallState | None = None) -> list[Made]:
        """Makes calls, in order; the machine runs."""
        state = state or CallState()
        said = make_calls(self.agent, calls)
        self.made += len(said)
        return [(call, self.model.answer(call, state), got) for call, got in zip(calls, said)]

    def record(self, check: Check) -> None:
        self.context.record(check)

    @property
    def life_number(self) -> int:
        return self.life.record.index

    @contextlib.contextmanager
    def stage(self, kind: str, name: str = "") -> Iterator[None]:
        with life_stage(self.life, self.context, kind, name):
            yield

    def finding(self, oracle: str, stage: str, message: str, gpa: int | None = None) -> Finding:
        owner = self.view.owner(gpa) if gpa is not None else None
        pfn = None if gpa is None else gpa // PAGE
        return Finding(oracle, stage, message, life=self.life_number, gpa=gpa, pfn=pfn, owner=owner)


@contextlib.contextmanager
def life_stage(life: Life, context: RunContext, kind: str, name: str = "") -> Iterator[None]:
    with life.stage(f"{kind} {name}".strip(), LIMITS[kind] * context.options.time_scale):
        yield
