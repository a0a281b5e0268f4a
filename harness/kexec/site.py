# SPDX-License-Identifier: GPL-2.0-or-later
"""What a fault (harness/kexec/tampers.py) may lay hands on, and how it is put right again."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from harness.agent import Agent
from harness.kexec.allocation_trace import Allocation
from harness.kexec.calls import PAGE
from harness.kexec.guest_view import GuestView
from harness.kexec.kimage_struct import Kimage
from harness.kexec.shapes import Shape, entries_per_page

if TYPE_CHECKING:  # the names of the faults are listed where the model is not loaded
    from harness.kexec.model import Model


@dataclass
class Site:
    """What a fault may lay hands on. ``image`` and ``list_pages`` (gpa): of the load that is about
    to be looked at. ``done``: what was done, in words, for the report."""

    random: Random
    view: GuestView
    model: Model
    shape: Shape | None = None
    image: Kimage | None = None
    list_pages: list[int] = field(default_factory=list)
    trace: list[Allocation] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    agent: Agent | None = None  # to be asked while the machine runs
    _old: list[tuple[int, int]] = field(default_factory=list)

    def entry_gpa(self, entry: int) -> int:
        page, word = divmod(entry, entries_per_page(self.view.word))
        return self.list_pages[page] + word * self.view.word

    def word(self, gpa: int) -> int:
        return int.from_bytes(self.view.ram.read(gpa, self.view.word), "little")

    def change(self, gpa: int, value: int) -> None:
        self.done.append(f"word at GPA {gpa:#x}: {self.word(gpa):#x} became {value:#x}")
        self.write(gpa, value)

    def write(self, gpa: int, value: int) -> None:
        self._old.append((gpa, self.word(gpa)))
        self.view.write_word(gpa, value)

    def undo(self) -> None:
        """Puts every word back: the kernel will walk its list again, and free what it names."""
        while self._old:
            self.view.write_word(*self._old.pop())

    def source_entry(self) -> int:
        """A random entry: a SOURCE word of a page with data, not the first of its segment."""
        assert self.shape is not None
        entries: list[int] = []
        at = 0
        for segment in self.shape.segments:
            entries += range(at + 2, at + 1 + (segment.bufsz + PAGE - 1) // PAGE)
            at += 1 + segment.pages
        return self.random.choice(entries)
