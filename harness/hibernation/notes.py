# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run notes about itself on the way and at its end."""

from __future__ import annotations

import gc
from pathlib import Path

from harness.results import RunResult


def note_memory(result: RunResult) -> None:
    """The rig's own memory after each cycle: it must not grow. Without the mappings of guest
    RAM and captures, which are given back; with what is garbage already collected."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:"))
    sizes = result.properties.get("rig_memory_kib_by_cycle", "")
    result.properties["rig_memory_kib_by_cycle"] = f"{sizes} {kib}".strip()


def note_end(result: RunResult, tampered: list[str]) -> None:
    """Where the last life stopped, and what its console said last."""
    if tampered:
        result.properties["tampered"] = "; ".join(tampered)
    if not result.lives:
        return
    last = result.lives[-1]
    unfinished = [stage.name for stage in last.stages if stage.end is None]
    if unfinished:
        result.failed_stage = unfinished[-1]
    if last.console_log is not None and (result.folder / last.console_log).exists():
        text = (result.folder / last.console_log).read_text(errors="replace")
        result.console_tail = text.replace("\r", "").rstrip("\n").split("\n")[-25:]
