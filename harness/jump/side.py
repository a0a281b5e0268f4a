# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that can jump, as the proof of a jump sees it, and the names of a jump's stages.

The stops of one jump: P0 the first instruction of relocate_kernel; P1 the callee's entry; P2 the
callee is back at the caller's re-entry point; P3 virtual_mapped, memory is swapped back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jumpback_relocation as relocation

from harness.kexec.guest_view import GuestView
from harness.symbols import Symbols

# Stages, for findings: what ran before the stop at which they were made.
DEPARTURE = "P0 departure"  # the kernel, on its way to relocate_kernel
CALLEE_ENTRY = "callee-entry"  # relocate_kernel, P0 to P1
CALLEE = "callee"  # the other kernel or the payload, P1 to P2
RETURN = "return"  # relocate_kernel, P2 to P3 and back in C
STAGES = (DEPARTURE, CALLEE_ENTRY, CALLEE, RETURN)

MEMORY_ORACLE = "jump-memory"
CPU_ORACLE = "jump-cpu"

PAGE = 4096


@dataclass
class Side:
    """``view``: made while this kernel runs; it is asked at departures only, when its pages are in
    place. ``fixed``: names of docs/findings pages whose defect this kernel's patches mend.
    ``owns``: the frames this kernel lives in, by which it is judged; None: all of RAM (A). What
    another kernel may write while this one is away is whatever is not here."""

    role: str  # "A", "B"
    symbols: Symbols
    view: GuestView
    release: str
    fixed: frozenset[str] = frozenset()
    owns: relocation.Frames | None = None
    kernel: relocation.Kernel = field(init=False)

    def __post_init__(self) -> None:
        self.kernel = relocation.Kernel(self.release, self.symbols.arch, self.fixed)

    @property
    def arch(self) -> str:
        return self.symbols.arch

    @property
    def word(self) -> int:
        return self.view.word
