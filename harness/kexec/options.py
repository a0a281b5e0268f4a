# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kexec-load run can be told."""

from __future__ import annotations

from dataclasses import dataclass

from harness.kexec.tampers import KexecTamper

# Seconds. Generous for TCG on a loaded host; --time-scale multiplies them. A traced load stops the
# machine some two thousand times.
LIMITS = {"boot": 60.0, "look": 20.0, "calls": 120.0, "load": 180.0, "unload": 30.0, "limit": 30.0}


@dataclass(frozen=True)
class KexecOptions:
    calls: int = 200  # random ones, beside the table
    crash_region: bool = True  # memory is reserved for a crash kernel
    trace_all: bool = False  # every load's frames are traced, not only the short ones'
    tampers: tuple[KexecTamper, ...] = ()

    def crash_mib(self, memory_mib: int) -> int:
        """An eighth of the memory, as whole megabytes."""
        return max(4, memory_mib // 8) if self.crash_region else 0
