# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run of a jump from kernel to kernel can be told, and how long its stages may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.context import RunContext
from harness.jump.loader import Window
from harness.jump.tampers import JumpTamper

# Seconds. Generous for TCG on a loaded host; --time-scale multiplies them.
LIMITS = {
    "boot": 60.0,
    "plant": 30.0,
    "load": 60.0,
    "departure": 60.0,
    "callee-entry": 60.0,
    "callee": 90.0,
    "look": 60.0,
    "way-back": 30.0,
    "return": 30.0,
    "resume": 60.0,
    "check": 60.0,
    "save": 120.0,
    "change": 30.0,
    "tools": 120.0,
}


@dataclass(frozen=True)
class JumpOptions:
    window: Window = field(default_factory=Window)
    acpi: bool = True
    suspend_console: bool = False  # as kernels do it by default: silent over a jump
    boot_once: bool = False  # A is restored from a snapshot of its boot
    loader: str = "own"  # or KEXEC_TOOLS (harness/jump/kexec_tools.py)
    trips: int = 1
    switches: int = 100
    count_instructions: bool = False  # of the guest, in each switch
    tamper: JumpTamper | None = None

    @classmethod
    def of(cls, chosen: Mapping[str, Any], **own: Any) -> JumpOptions:
        """From what was chosen of scenarios/jump_kernel.py's WINDOW_OPTIONS, and a scenario's own.
        Raises UsageError."""
        return cls(
            window=Window.parse(chosen["mem_min"], chosen["mem_max"]),
            acpi=chosen["acpi"] == "on",
            suspend_console=chosen["console"] == "suspended",
            **own,
        )


def command_line(context: RunContext, options: JumpOptions, *more: str) -> str:
    """Of A, and with ``more`` of B. KASLR is off: symbols are then addresses."""
    words = ["console=ttyS0,115200", "nokaslr", "panic=0"]
    words += [] if options.suspend_console else ["no_console_suspend"]
    # On a busy host, under TCG, IRQ 0 may fail the kernel's own test of it at boot.
    words += ["no_timer_check"]
    words += [] if options.acpi else ["acpi=off"]
    words += [context.options.append] if context.options.append else []
    return " ".join([*words, *filter(None, more)])


def limit(context: RunContext, options: JumpOptions, stage: str) -> float:
    """Seconds that a stage may take."""
    limits = options.tamper.limits if options.tamper is not None else {}
    return limits.get(stage, LIMITS[stage]) * context.options.time_scale
