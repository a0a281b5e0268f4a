# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario is handed: the kernel, the guest, the folder, and the result it fills."""

from __future__ import annotations

from random import Random
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.guest_image import GuestImage
from harness.progress import Progress
from harness.results import Check, RunResult
from harness.symbols import Symbols
from kernel.under_test import KernelUnderTest


@dataclass(frozen=True)
class RunOptions:
    """Options that every scenario has."""

    kernel: str = "6.1"
    arch: str = "x86_64"
    memory_mib: int = 256
    cpus: int = 1
    accel: str = "auto"
    seed: int | None = None
    append: str = ""  # added to every life's kernel command line
    time_scale: float = 1.0  # multiplies every stage's time limit
    strict: bool = False  # a known defect is a failure like any other
    keep: bool = False
    out: Path | None = None


@dataclass
class RunContext:
    options: RunOptions
    kernel: KernelUnderTest
    symbols: Symbols
    guest: GuestImage
    accelerator: str
    folder: Path
    result: RunResult
    progress: Progress
    random: Random
    started: float = field(default_factory=time.monotonic)  # the run's time zero, monotonic

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.started

    def record(self, check: Check) -> Check:
        """Adds a check to the result; returns it, for the caller to look at ``passed``."""
        self.result.checks.append(check)
        return check

    def reached_target(self) -> None:
        """The stage under test begins: from here on a death is the kernel's (git bisect: bad)."""
        self.result.target_reached = True
