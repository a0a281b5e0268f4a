# SPDX-License-Identifier: GPL-2.0-or-later
"""Past runs: which there are, how they ended, and each of them rendered again in any format.

A run is a folder with a result.json in the runs folder. Interrupted runs leave folders without one;
a full disk leaves a cut one. Such a run is listed with what is wrong with it, and never hides the
others.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.results import RunResult
from harness.verdict import Verdict
from reports import html, json_report, junit, ktap, text, wording

LATEST = "latest"


class Format(enum.Enum):
    TEXT = "text"
    JSON = "json"
    KTAP = "ktap"
    JUNIT = "junit"
    HTML = "html"


_RENDERERS: dict[Format, Callable[[RunResult], str]] = {
    Format.TEXT: text.render,
    Format.JSON: json_report.dumps,
    Format.KTAP: ktap.render,
    Format.JUNIT: junit.render,
    Format.HTML: html.render,
}


@dataclass(frozen=True)
class PastRun:
    """One run folder. ``problem`` says why its result cannot be read; the rest is then empty."""

    path: Path
    modified: float  # of result.json or of the folder, seconds since the epoch
    verdict: Verdict | None = None
    scenario: str = ""
    kernel: str = ""  # release
    started_at: str = ""  # ISO 8601, UTC
    seconds: float = 0.0
    reason: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        return self.path.name


def list_runs(runs: Path) -> list[PastRun]:
    """All runs in the folder ``runs``, newest first. A folder that is not there holds none."""
    try:
        folders = [path for path in runs.iterdir() if path.is_dir() and not path.is_symlink()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{runs}: {error.strerror}") from None
    found = [_past_run(path) for path in folders]
    return sorted(found, key=lambda run: (run.modified, run.name), reverse=True)


def _past_run(path: Path) -> PastRun:
    file = path / json_report.FILE_NAME
    if not file.exists():
        problem = "no result.json: still running, or interrupted"
        return PastRun(path, _modified(path), problem=problem)
    try:
        result = json_report.read_file_summary(file)
    except UsageError as error:
        return PastRun(path, _modified(file), problem=str(error))
    return PastRun(
        path=path,
        modified=_modified(file),
        verdict=result.verdict,
        scenario=result.scenario,
        kernel=result.kernel.release if result.kernel else "",
        started_at=result.started_at,
        seconds=result.seconds,
        reason=result.reason,
    )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed while the list was made
        return 0.0


def find_run(runs: Path, what: str) -> Path:
    """The result.json meant by ``what``: ``latest``, a run's name or the start of it, or a path.

    A path may name a run folder or its result.json. ``latest`` is the newest run that has ended,
    readable or not. Raises UsageError, with the names to choose from, unless exactly one fits.
    """
    if what == LATEST:
        ended = [run for run in list_runs(runs) if (run.path / json_report.FILE_NAME).exists()]
        if not ended:
            raise UsageError(f"no finished runs in {runs}")
        return ended[0].path / json_report.FILE_NAME
    for path in (Path(what), runs / what):
        if path.is_file():
            return path
        if what and path.is_dir():
            return path / json_report.FILE_NAME
    names = sorted(run.name for run in list_runs(runs))
    fitting = [name for name in names if what and name.startswith(what)]
    if len(fitting) == 1:
        return runs / fitting[0] / json_report.FILE_NAME
    if fitting:
        raise UsageError(f"{what!r} fits several runs: {_some(fitting)}")
    raise UsageError(f"no run {what!r} in {runs}; there are: {_some(names) or 'none'}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[-10:]) + more


def load_run(runs: Path, what: str) -> RunResult:
    """The result of the run that ``find_run`` finds; UsageError where its file is damaged."""
    return json_report.read(find_run(runs, what))


def render(result: RunResult, form: Format) -> str:
    """``result`` in a format, as one string; text comes without colours."""
    return _RENDERERS[form](result)


def render_list(past: list[PastRun]) -> str:
    """A table for people, one line a run, in the order given."""
    rows = [("verdict", "scenario", "kernel", "time", "started", "name")]
    rows += [_row(run) for run in past]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]
    return "\n".join(lines) + "\n"


def _row(run: PastRun) -> tuple[str, str, str, str, str, str]:
    clean = wording.clean_line
    if run.verdict is None:
        return ("?", "", "", "", "", f"{clean(run.name)}: {clean(run.problem)}")
    return (
        run.verdict.value,
        clean(run.scenario),
        clean(run.kernel),
        wording.seconds(run.seconds),
        clean(run.started_at),
        clean(run.name),
    )
