# SPDX-License-Identifier: GPL-2.0-or-later
"""What a jump-call run can be told, and how long its stages may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.context import RunContext

if TYPE_CHECKING:  # what faults lay hands on needs the native modules
    from harness.jump.call_tampers import CallTamper

# Seconds. Generous for TCG on a loaded host; --time-scale multiplies them.
LIMITS = {
    "boot": 60.0,
    "plant": 30.0,
    "load": 60.0,
    "departure": 60.0,
    "callee-entry": 60.0,
    "callee": 60.0,
    "return": 30.0,  # a kernel that does not come back may spin in its exception handler
    "unload": 30.0,
    "check": 60.0,
}

ALL = "all"
# Those that a correct kernel bears, in the order in which they are called.
USUAL = ("plain", "ruin", "flip", "flip-slot", "bios", "several")
EXTRA = ("direction-flag",)  # by its name only


@dataclass(frozen=True)
class CallOptions:
    payload: str = ALL
    calls: int = 3
    acpi: bool = True
    tamper: CallTamper | None = None

    @property
    def payloads(self) -> tuple[str, ...]:
        return USUAL if self.payload == ALL else (self.payload,)


def command_line(context: RunContext, options: CallOptions) -> str:
    """KASLR is off: symbols are then addresses."""
    # no_timer_check: on a busy host, under TCG, IRQ 0 may fail the kernel's own test of it at boot.
    words = ["console=ttyS0,115200", "nokaslr", "no_console_suspend", "no_timer_check", "panic=0"]
    words += [] if options.acpi else ["acpi=off"]
    words += [context.options.append] if context.options.append else []
    return " ".join(words)
