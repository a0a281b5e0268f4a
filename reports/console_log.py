# SPDX-License-Identifier: GPL-2.0-or-later
"""Console logs for report.html: cleaned, capped (head and tail kept), from the run folder only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.results import LifeRecord
from reports import wording

LIFE_CAP = 256 * 1024  # bytes kept of one life's log
REPORT_CAP = 6 * 1024 * 1024  # bytes kept of all lives' logs together
HEAD_SHARE = 4  # one part in so many is head: a death is explained by the tail


@dataclass(frozen=True)
class ConsoleLog:
    """One life's log as far as it stands in the report."""

    head: str
    tail: str = ""  # only where something was cut out between head and tail
    cut: int = 0  # bytes left out
    total: int = 0  # bytes of the whole log
    problem: str = ""  # why there is no log; empty if there is one


def cap_for(lives: int) -> int:
    """Bytes to keep of each log so that a report of ``lives`` lives stays loadable."""
    return min(LIFE_CAP, REPORT_CAP // max(lives, 1))


def load(folder: Path, life: LifeRecord, cap: int) -> ConsoleLog:
    """Reads the log of ``life``, at most about ``cap`` bytes of it."""
    if life.console_log is None:
        return ConsoleLog("", problem="this life has no console log")
    path = folder / life.console_log
    # A result.json from elsewhere must not pull the reader's own files into a report.
    if not path.resolve().is_relative_to(folder.resolve()):
        return ConsoleLog("", problem=f"{life.console_log} is not inside the run's folder")
    try:
        with path.open("rb") as log:
            total = log.seek(0, 2)
            log.seek(0)
            if total <= cap:
                return ConsoleLog(_text(log.read()), total=total)
            head = _whole_lines(log.read(cap // HEAD_SHARE), keep_start=True)
            log.seek(total - (cap - cap // HEAD_SHARE))
            tail = _whole_lines(log.read(), keep_start=False)
    except OSError as error:
        return ConsoleLog("", problem=f"{life.console_log}: {error.strerror}")
    return ConsoleLog(_text(head), _text(tail), total - len(head) - len(tail), total)


def _whole_lines(data: bytes, *, keep_start: bool) -> bytes:
    """``data`` without the line that the cut went through; all of it if it is one long line."""
    if keep_start:
        head, newline, _ = data.rpartition(b"\n")
        return head + newline or data
    _, _, tail = data.partition(b"\n")
    return tail or data


def _text(data: bytes) -> str:
    return wording.clean(data.decode("utf-8", "replace"))
