# SPDX-License-Identifier: GPL-2.0-or-later
"""The sequence of a kexec jump that a real kernel's code makes, taken from its vmlinux.

The code runs on an emulated CPU, in a child process; every call out of it is answered by script.
Scenario, Trace, TraceStep and Kernel are classes of jumpback_jump.
"""

from collections.abc import Sequence as _Sequence
from os import PathLike

from jumpback_jump import Kernel, Scenario, Trace, TraceStep

class SequenceError(RuntimeError):
    """The file is no kernel, or has no kexec jump, or damaged code: names it and what is missing."""

class Call:
    """A call out of the function. ``site``: the instruction behind it. ``step``: None if it is none."""

    @property
    def symbol(self) -> str: ...
    @property
    def site(self) -> int: ...
    @property
    def argument(self) -> int: ...
    @property
    def result(self) -> int: ...
    @property
    def step(self) -> str | None: ...

class Run:
    """``stopped``: why the function did not come back where it should have; empty if it did."""

    @property
    def trace(self) -> Trace: ...
    @property
    def calls(self) -> list[Call]: ...
    @property
    def stopped(self) -> str: ...

class Sequence:
    """All scenarios of one kernel. ``patches``: (link address, bytes) put into the mapped copy."""

    def __init__(
        self, path: str | PathLike[str], patches: _Sequence[tuple[int, bytes]] = ...
    ) -> None: ...
    @property
    def kernel(self) -> Kernel: ...
    @property
    def release(self) -> str: ...
    @property
    def preserve_bit(self) -> tuple[int, int]:
        """Byte and bit of struct kimage where preserve_context was found."""
    @property
    def scenarios(self) -> list[Scenario]: ...
    def run(self, scenario: Scenario = ...) -> Run: ...
    def run_machine(self, branch: str = ...) -> Run: ...

def sequence(path: str | PathLike[str]) -> dict[Scenario, list[TraceStep]]:
    """Every scenario with the steps that the kernel makes in it."""
