# SPDX-License-Identifier: GPL-2.0-or-later
"""The run as one versioned JSON document, to and from RunResult without loss.

Described for readers in docs/json-schema.md and, for machines, in reports/schema/run-1.json.
One line holds one top-level key, the frame maps (megabytes) last: so that a person can page through
it, and ``read_summary`` need not parse them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.results import SCHEMA, Check, FrameMap, LifeRecord, RunResult
from reports.json_reader import Reader, kind, read_result

FILE_NAME = "result.json"
SCHEMA_FILE = Path(__file__).parent / "schema" / "run-1.json"

Document = dict[str, Any]


def to_document(result: RunResult) -> Document:
    """The document as plain JSON types. Bytes become hex digits, enums their names."""
    return {
        "schema": SCHEMA,
        "scenario": result.scenario,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "command": result.command,
        "folder": str(result.folder),
        "kernel": vars(result.kernel).copy() if result.kernel else None,
        "engine": result.engine,
        "accelerator": result.accelerator,
        "accelerator_reason": result.accelerator_reason,
        "options": dict(result.options),
        "seed": result.seed,
        "started_at": result.started_at,
        "seconds": result.seconds,
        "target_reached": result.target_reached,
        "failed_stage": result.failed_stage,
        "cycles_proved": result.cycles_proved,
        "properties": dict(result.properties),
        "known_defects": [vars(defect).copy() for defect in result.known_defects],
        "console_tail": list(result.console_tail),
        "checks": [_check_out(check) for check in result.checks],
        "lives": [_life_out(life) for life in result.lives],
        "frame_maps": [_map_out(frame_map) for frame_map in result.frame_maps],
    }


def _check_out(check: Check) -> Document:
    return {
        **vars(check),
        "rules": [vars(rule).copy() for rule in check.rules],
        "findings": [
            {
                **vars(finding),
                "expected": _hex_out(finding.expected),
                "found": _hex_out(finding.found),
            }
            for finding in check.findings
        ],
    }


def _hex_out(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _life_out(life: LifeRecord) -> Document:
    return {
        **vars(life),
        "outcome": life.outcome.value,
        "console_log": None if life.console_log is None else str(life.console_log),
        "machine_command": list(life.machine_command),
        "stages": [vars(stage).copy() for stage in life.stages],
        "events": [vars(event).copy() for event in life.events],
    }


def _map_out(frame_map: FrameMap) -> Document:
    owners: dict[str, int] = {"": 0}
    runs = [
        [run.start, run.count, run.state.name, owners.setdefault(run.owner, len(owners))]
        for run in frame_map.runs
    ]
    return {
        "cycle": frame_map.cycle,
        "frames": frame_map.frames,
        "owners": list(owners),
        "runs": runs,
    }


def dumps(result: RunResult) -> str:
    """The document as text, with a line end at its end."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
        for key, value in to_document(result).items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def from_document(document: Any) -> RunResult:
    """The RunResult that ``to_document`` made ``document`` of.

    Raises UsageError, naming the key, where the document is not of this schema. Keys that are not
    known are passed over: a later version may add some without changing the meaning of others.
    """
    if not isinstance(document, dict):
        raise UsageError(f"not a run's result: expected a JSON object, found {kind(document)}")
    if document.get("schema") != SCHEMA:
        raise UsageError(
            f'not a run\'s result of this version: "schema" is {document.get("schema")!r},'
            f' expected "{SCHEMA}"; use the jumpback that wrote it'
        )
    try:
        return read_result(Reader(document, ""))
    except RecursionError:
        raise UsageError("not a run's result: nested too deep") from None


def loads(text: str) -> RunResult:
    """Parses what ``dumps`` wrote. Raises UsageError, with line and column, on damaged text."""
    return from_document(parse(text))


def parse(text: str) -> Any:
    """JSON text to plain types; UsageError where it is damaged or cut short."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string")
        at_end = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string")
        cut = " (the file seems to be cut short)" if at_end else ""
        raise UsageError(
            f"damaged JSON at line {error.lineno} column {error.colno}: {error.msg}{cut}"
        ) from None
    except (RecursionError, ValueError) as error:  # ValueError: an integer of 4,300+ digits
        raise UsageError(f"damaged JSON: {error}") from None


def read_summary(text: str) -> RunResult:
    """Like ``loads``, but without frame maps: for lists of many runs, where those take seconds."""
    head, found, tail = text.partition(',\n"frame_maps": [')
    if found and tail.endswith("]\n}\n") and tail.count("\n") == 2:
        return loads(head + ',\n"frame_maps": []\n}\n')
    result = loads(text)
    result.frame_maps = []
    return result


def write(result: RunResult, path: Path) -> None:
    """Writes the document, atomically: a reader never finds half a result."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(dumps(result), encoding="utf-8")
    partial.replace(path)


def read(path: Path) -> RunResult:
    """Reads one result; errors name the file. The folder is where the file now lies."""
    result = _read_with(path, loads)
    result.folder = path.parent
    return result


def read_file_summary(path: Path) -> RunResult:
    """``read`` without frame maps."""
    result = _read_with(path, read_summary)
    result.folder = path.parent
    return result


def _read_with(path: Path, parser: Callable[[str], RunResult]) -> RunResult:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    if not text.strip():
        raise UsageError(f"{path}: empty; the run was interrupted before it wrote its result")
    try:
        return parser(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
