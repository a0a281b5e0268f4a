# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run leaves behind, as plain data: the only thing that reports/ reads.

Times are seconds since the start of the run (monotonic clock). Addresses are guest physical
unless a field says otherwise. ``SCHEMA`` goes up whenever a field changes its meaning.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from harness.verdict import Verdict

SCHEMA = "jumpback.run/1"


class LifeOutcome(enum.Enum):
    """How one life (power-on to reset, power-off or death) ended."""

    RUNNING = "running"
    POWER_OFF_S4 = "power-off S4"
    POWER_OFF_S5 = "power-off S5"
    RESET = "reset"
    PANIC = "panic"
    TRIPLE_FAULT = "triple fault"
    HANG = "hang"
    LOST = "lost machine"
    STOPPED = "stopped by the rig"


class FrameState(enum.IntEnum):
    """What the oracles say of one page frame; the code stands in the frame map."""

    HOLE = 0  # no RAM at this frame, or not in the kernel's memory map
    FREE = 1  # free when the snapshot was taken: need not be saved
    NOSAVE = 2  # in a nosave region or section: must not be saved
    OWN = 3  # the snapshot code's own copy and bitmap pages: must not be saved
    ZERO = 4  # saved as a mark only: the page was all zero (6.9 and later)
    EQUAL = 5  # saved, and proved equal at every comparison
    EXCEPTED = 6  # saved, differs where a rule allows it
    DIFFERENT = 7  # saved, differs and no rule allows it: a finding
    MISSING = 8  # had to be saved and is not in the image: a finding
    SAVED = 9  # in the image, not (yet) compared with restored memory


@dataclass(frozen=True)
class Finding:
    """One difference between expectation and capture."""

    # "image", "image-content", "restored-memory", "coverage", "nonce", "workload", "cpu",
    # "interrupts", "console" or "life"
    oracle: str
    stage: str  # the stage that is blamed, e.g. "write-image"
    message: str
    cycle: int = 0
    life: int = 0
    gpa: int | None = None  # of the first differing byte
    pfn: int | None = None
    owner: str | None = None  # symbol+offset from vmlinux, or what the page structures say
    expected: bytes | None = None  # first differing bytes, at most 16
    found: bytes | None = None
    differing_bytes: int | None = None  # how many in this page


@dataclass(frozen=True)
class RuleUse:
    """An exception rule: what may differ, why, and how often it was needed. 0 uses is reported."""

    name: str
    reason: str
    uses: int  # pages it excused


@dataclass
class Check:
    """One thing that was proved, or not."""

    name: str  # "image equals RAM at the snapshot"
    oracle: str
    passed: bool
    cycle: int = 0
    compared: int = 0  # pages, or items, compared
    seconds: float = 0.0
    detail: str = ""
    rules: list[RuleUse] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # known defects that explain all of its failure

    @property
    def as_known(self) -> bool:
        """It failed, and nothing in it is new."""
        return not self.passed and bool(self.known)


@dataclass
class StageRecord:
    name: str  # "boot", "plant", "save", "snapshot", "power-off", "restore", "check", ...
    start: float
    end: float | None = None  # None: never finished, the run died here
    note: str = ""


@dataclass
class EventRecord:
    time: float
    kind: str  # "breakpoint", "reset", "power-off", "panic", "agent", "capture", ...
    text: str


@dataclass
class LifeRecord:
    index: int
    cycle: int
    role: str  # "A" original kernel, "C" cold-booted kernel that resumes
    nonce: str  # on this life's kernel command line
    start: float
    end: float | None = None
    outcome: LifeOutcome = LifeOutcome.RUNNING
    detail: str = ""
    command_line: str = ""  # the kernel's
    machine_command: list[str] = field(default_factory=list)  # QEMU argv
    console_log: Path | None = None  # relative to the run folder
    stages: list[StageRecord] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)


@dataclass
class FrameRun:
    """``count`` consecutive frames from ``start`` in the same state and with the same owner."""

    start: int
    count: int
    state: FrameState
    owner: str = ""


@dataclass
class FrameMap:
    """All page frames of the machine after one cycle, run-length encoded, in pfn order."""

    cycle: int
    frames: int  # one past the last pfn
    runs: list[FrameRun] = field(default_factory=list)


@dataclass(frozen=True)
class KnownDefect:
    """A known upstream defect that the kernel should have and that the run had to show, or did."""

    id: str  # "unwinding-label"
    page: str  # "docs/findings/unwinding-label.md"
    summary: str
    shown: bool
    explains: list[str]  # failed checks, and how the run ended


@dataclass
class KernelInfo:
    name: str  # as asked for: "6.1", or a path
    release: str  # "6.1.192-jumpback"
    arch: str  # "x86_64" or "i386"
    image: str  # bzImage path


@dataclass
class RunResult:
    scenario: str
    verdict: Verdict
    reason: str  # one line: why this verdict
    command: str  # reproduces this run
    folder: Path  # artifacts
    kernel: KernelInfo | None
    engine: str  # "qemu"
    accelerator: str  # "tcg" or "kvm"
    accelerator_reason: str
    options: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    started_at: str = ""  # ISO 8601, UTC
    seconds: float = 0.0
    target_reached: bool = False
    failed_stage: str = ""
    cycles_proved: int = 0
    lives: list[LifeRecord] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    frame_maps: list[FrameMap] = field(default_factory=list)
    console_tail: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)  # QEMU version, git describe, …
    known_defects: list[KnownDefect] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        return [finding for check in self.checks for finding in check.findings]
