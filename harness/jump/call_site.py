# SPDX-License-Identifier: GPL-2.0-or-later
"""One call of a payload, as the story, its checks and its faults see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from harness.agent import Agent
from harness.jump.call_payload import Payload
from harness.jump.call_result import Orders, entry_of_call
from harness.jump.departure import Departure
from harness.machine import Life
from harness.machine.registers import Registers
from harness.oracles.liveness import Planted
from harness.symbols import Symbols


@dataclass
class CallSite:
    """``call``: number of the call on this image, the first is 1; ``number_in_run``: of all, which
    is the cycle that its checks and findings name. ``seed``: of the input page.
    ``done``: what faults did, in words, for the report."""

    life: Life
    symbols: Symbols
    random: Random
    planted: Planted
    payload: Payload
    seed: int
    orders: Orders
    call: int
    number_in_run: int = 0
    is_last: bool = False  # of the run
    done: list[str] = field(default_factory=list)
    departure: Departure | None = None
    entered: Registers | None = None  # at P1
    stack: tuple[int, int] = (0, 0)  # the two words on it at P1
    agent: Agent | None = None

    @property
    def word(self) -> int:
        return 8 if self.payload.arch == "x86_64" else 4

    @property
    def entry(self) -> int:
        """Guest physical, where this call enters."""
        return self._entry(self.call)

    @property
    def next_entry(self) -> int:
        """Where the next call has to."""
        return self._entry(self.call + 1)

    def _entry(self, call: int) -> int:
        number = entry_of_call(self.payload.kind.name, call)
        return self.payload.symbols["entry" if number == 1 else "second"]

    def symbol(self, name: str) -> int:
        return self.payload.symbols[name]

    def read(self, gpa: int, length: int) -> bytes:
        return self.life.read_physical(gpa, length)

    def number(self, gpa: int, size: int) -> int:
        return int.from_bytes(self.read(gpa, size), "little")

    def monitor(self, command: str) -> str:
        """QEMU's human monitor; the machine stands still."""
        return self.life.monitor(command)
