# SPDX-License-Identifier: GPL-2.0-or-later
"""What people open a vmcore with: readelf (binutils), makedumpfile, crash."""

from __future__ import annotations

from pathlib import Path

from harness.results import Check


class ToolChecks:
    def __init__(self, folder: Path, arch: str, release: str, life: int) -> None:
        pass

    def open(self, path: Path, number: int, nonce: str) -> list[Check]:
        return []
