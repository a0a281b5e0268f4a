# SPDX-License-Identifier: GPL-2.0-or-later
"""relocate_kernel of a vmlinux, run in Unicorn and held against the model.

Stops: P0 the call in machine_kexec, P1 the callee's entry, P2 the return point (jump-back entry),
P3 back in C. Results are plain dicts, ready for JSON and for other processes.
"""

from os import PathLike
from typing import TypedDict

class RelocateError(RuntimeError):
    """A file that cannot be checked (names it and what is missing), or a failure of the rig."""

class Defect(TypedDict):
    """A known defect. ``fix``: mainline commit; ``page``: docs/findings/...; "" for none."""

    id: str
    alias: str
    summary: str
    fix: str
    page: str

class ShownDefect(Defect):
    """Cases that could show it, and that did."""

    could_show: int
    shown: int

class _FindingBase(TypedDict):
    stop: str  # "P0" to "P3"
    kind: str  # "memory", "register" or "lost" (the stop was not reached)
    item: str  # "destination", "gdtr.base", "fault"
    place: str  # "destination of move 3"
    note: str  # where the found bytes come from, or what the fault was
    known: Defect | None  # explains it
    resembles: Defect | None  # one that this kernel should not have
    text: str  # all of it in a line

class Finding(_FindingBase, total=False):
    """``expected`` and ``found``: hex bytes of memory, numbers of registers; absent if lost."""

    gpa: int  # memory: of the first differing byte
    differing: int  # memory: bytes of the page
    expected: str | int
    found: str | int

class Rule(TypedDict):
    """What may differ, why, in how many cases it held and was needed."""

    name: str
    reason: str
    offered: int
    used: int

class FailedCase(TypedDict):
    case: int
    findings: list[Finding]

class Tally(TypedDict):
    """What cases of a session add up to. ``failed``: beyond known defects."""

    cases: int
    clean: int
    known: int
    failed: int
    pages: int
    came_back: int
    most_pages: int
    most_list_pages: int
    lists: dict[str, int]
    callees: dict[str, int]
    defects: list[ShownDefect]
    rules: list[Rule]
    failures: list[FailedCase]  # the first ones, and the first of each further kind
    examples: list[Finding]  # of each known defect

class ListLine(TypedDict):
    place: str
    word: int
    meaning: str

class TraceLine(TypedDict):
    """One instruction, or rounds of a repeated one. ``link``: its link address."""

    step: int
    times: int
    link: int
    place: str
    text: str
    wrote: str
    blamed: bool

class Explanation(TypedDict):
    list: list[ListLine]
    blame: str
    trace: list[TraceLine]

class Shrunk(TypedDict):
    tried: int  # cases run on the way
    pages: int
    case: list[str]
    findings: list[Finding]

class ShownCase(TypedDict):
    """``shrunk``: the smallest case that still shows it; None if the case does not fail."""

    case: list[str]
    findings: list[Finding]
    failed: bool
    shrunk: Shrunk | None
    explanation: Explanation

class Break(TypedDict):
    """A fault with a name: where it must be seen first (``stop``, one of ``items``)."""

    name: str
    summary: str
    stop: str
    items: list[str]

class MutantResult(TypedDict):
    mutant: int
    kind: str
    place: str
    was: str
    becomes: str
    fate: str
    caught: bool
    executed: bool
    explained: bool
    why: str

MOST_PAGES: int
KEPT_FAILURES: int  # a tally has these, and the first of each further kind

class Target:
    """The code of one kernel. ``generation``: the version whose rules it is held to."""

    @staticmethod
    def open(vmlinux: str | PathLike[str]) -> Target: ...
    def broken(self, name: str) -> Target:
        """With one fault of ``breaks()``; RelocateError if this kernel has no place for it."""
    @property
    def changed(self) -> str:
        """What ``broken`` changed; "" otherwise."""
    @property
    def release(self) -> str: ...
    @property
    def arch(self) -> str: ...
    @property
    def generation(self) -> str: ...
    @property
    def code_bytes(self) -> int: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def defects(self) -> list[Defect]: ...

class Session:
    """Cases 0, 1, ... of a seed: the same for the same kernel, whatever ran before."""

    def __init__(self, target: Target, seed: int, pages: int, both_ways: bool = ...) -> None: ...
    def run(self, first: int, count: int) -> Tally: ...
    def show(self, case: int) -> ShownCase: ...

class MutationPlan:
    """A fixed set of cases that takes every path, and mutants of the code to run against it."""

    def __init__(self, vmlinux: str | PathLike[str], seed: int) -> None: ...
    @property
    def cases(self) -> int: ...
    @property
    def instructions(self) -> int: ...
    @property
    def executed(self) -> int:
        """Instructions that some case executes."""
    @property
    def left_out(self) -> list[str]:
        """Functions in which no case executes anything; they are not mutated or counted."""
    def run(self, first: int, count: int) -> list[MutantResult]: ...

def breaks() -> list[Break]: ...
