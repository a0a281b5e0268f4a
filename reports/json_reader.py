# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the JSON document back into harness.results, and names the key where it does not fit.

The file may have been cut short, edited by hand or written by another version. Every value is
checked for its type before use, so that the worst outcome is a UsageError with a place in it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UsageError
from harness.results import (
    Check,
    EventRecord,
    Finding,
    FrameMap,
    FrameRun,
    FrameState,
    KernelInfo,
    KnownDefect,
    LifeOutcome,
    LifeRecord,
    RuleUse,
    RunResult,
    StageRecord,
)
from harness.verdict import Verdict

T = TypeVar("T")
E = TypeVar("E", bound=enum.Enum)


def kind(value: Any) -> str:
    """What ``value`` is, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else "a number")


class Reader:
    """One JSON object and the path to it, for error messages."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise UsageError(f"{where}: expected an object, found {kind(value)}")
        self._value = value
        self._where = where

    def path(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def fail(self, key: str, expected: str) -> UsageError:
        if key not in self._value:
            return UsageError(f"{self.path(key)}: missing, expected {expected}")
        return UsageError(f"{self.path(key)}: expected {expected}, found {kind(self.get(key))}")

    def get(self, key: str) -> Any:
        return self._value.get(key)

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self.fail(key, "text")
        return value

    def integer(self, key: str) -> int:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(key, "a whole number")
        return value

    def number(self, key: str) -> float:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.fail(key, "a number")
        try:
            return float(value)
        except OverflowError:
            raise UsageError(f"{self.path(key)}: number too large") from None

    def boolean(self, key: str) -> bool:
        value = self.get(key)
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def maybe(self, key: str, read: Callable[[str], T]) -> T | None:
        """``read(key)``, or None where the document says null. The key itself must be there."""
        if key in self._value and self._value[key] is None:
            return None
        return read(key)

    def hex_bytes(self, key: str) -> bytes:
        text = self.text(key)
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise UsageError(f"{self.path(key)}: expected hex digits, found {text!r}") from None

    def member(self, key: str, members: type[E]) -> E:
        text = self.text(key)
        try:
            return members(text)
        except ValueError:
            known = ", ".join(str(member.value) for member in members)
            raise UsageError(f"{self.path(key)}: {text!r} is none of {known}") from None

    def items(self, key: str) -> list[Any]:
        value = self.get(key)
        if not isinstance(value, list):
            raise self.fail(key, "a list")
        return value

    def has(self, key: str) -> bool:
        return key in self._value

    def objects(self, key: str, read: Callable[["Reader"], T]) -> list[T]:
        return [
            read(Reader(item, f"{self.path(key)}[{index}]"))
            for index, item in enumerate(self.items(key))
        ]

    def texts(self, key: str) -> list[str]:
        values = self.items(key)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise UsageError(f"{self.path(key)}[{index}]: expected text, found {kind(value)}")
        return values

    def text_map(self, key: str) -> dict[str, str]:
        values = self.get(key)
        if not isinstance(values, dict):
            raise self.fail(key, "an object")
        for name, value in values.items():
            if not isinstance(value, str):
                place = f"{self.path(key)}.{name}"
                raise UsageError(f"{place}: expected text, found {kind(value)}")
        return values

    def object(self, key: str) -> "Reader":
        return Reader(self.get(key), self.path(key))


def read_result(reader: Reader) -> RunResult:
    """The whole document; ``schema`` was looked at before."""
    return RunResult(
        scenario=reader.text("scenario"),
        verdict=reader.member("verdict", Verdict),
        reason=reader.text("reason"),
        command=reader.text("command"),
        folder=Path(reader.text("folder")),
        kernel=reader.maybe("kernel", lambda key: _kernel(reader.object(key))),
        engine=reader.text("engine"),
        accelerator=reader.text("accelerator"),
        accelerator_reason=reader.text("accelerator_reason"),
        options=reader.text_map("options"),
        seed=reader.integer("seed"),
        started_at=reader.text("started_at"),
        seconds=reader.number("seconds"),
        target_reached=reader.boolean("target_reached"),
        failed_stage=reader.text("failed_stage"),
        cycles_proved=reader.integer("cycles_proved"),
        lives=reader.objects("lives", _life),
        checks=reader.objects("checks", _check),
        frame_maps=reader.objects("frame_maps", _frame_map),
        console_tail=reader.texts("console_tail"),
        properties=reader.text_map("properties"),
        # Not in documents that were written before there was one.
        known_defects=reader.objects("known_defects", _known_defect)
        if reader.has("known_defects")
        else [],
    )


def _known_defect(reader: Reader) -> KnownDefect:
    return KnownDefect(
        id=reader.text("id"),
        page=reader.text("page"),
        summary=reader.text("summary"),
        shown=reader.boolean("shown"),
        explains=reader.texts("explains"),
    )


def _kernel(reader: Reader) -> KernelInfo:
    return KernelInfo(
        name=reader.text("name"),
        release=reader.text("release"),
        arch=reader.text("arch"),
        image=reader.text("image"),
    )


def _check(reader: Reader) -> Check:
    return Check(
        name=reader.text("name"),
        oracle=reader.text("oracle"),
        passed=reader.boolean("passed"),
        cycle=reader.integer("cycle"),
        compared=reader.integer("compared"),
        seconds=reader.number("seconds"),
        detail=reader.text("detail"),
        rules=reader.objects("rules", _rule),
        findings=reader.objects("findings", _finding),
        known=reader.texts("known") if reader.has("known") else [],
    )


def _rule(reader: Reader) -> RuleUse:
    return RuleUse(reader.text("name"), reader.text("reason"), reader.integer("uses"))


def _finding(reader: Reader) -> Finding:
    return Finding(
        oracle=reader.text("oracle"),
        stage=reader.text("stage"),
        message=reader.text("message"),
        cycle=reader.integer("cycle"),
        life=reader.integer("life"),
        gpa=reader.maybe("gpa", reader.integer),
        pfn=reader.maybe("pfn", reader.integer),
        owner=reader.maybe("owner", reader.text),
        expected=reader.maybe("expected", reader.hex_bytes),
        found=reader.maybe("found", reader.hex_bytes),
        differing_bytes=reader.maybe("differing_bytes", reader.integer),
    )


def _life(reader: Reader) -> LifeRecord:
    return LifeRecord(
        index=reader.integer("index"),
        cycle=reader.integer("cycle"),
        role=reader.text("role"),
        nonce=reader.text("nonce"),
        start=reader.number("start"),
        end=reader.maybe("end", reader.number),
        outcome=reader.member("outcome", LifeOutcome),
        detail=reader.text("detail"),
        command_line=reader.text("command_line"),
        machine_command=reader.texts("machine_command"),
        console_log=reader.maybe("console_log", lambda key: Path(reader.text(key))),
        stages=reader.objects("stages", _stage),
        events=reader.objects("events", _event),
    )


def _stage(reader: Reader) -> StageRecord:
    return StageRecord(
        name=reader.text("name"),
        start=reader.number("start"),
        end=reader.maybe("end", reader.number),
        note=reader.text("note"),
    )


def _event(reader: Reader) -> EventRecord:
    return EventRecord(reader.number("time"), reader.text("kind"), reader.text("text"))


def _frame_map(reader: Reader) -> FrameMap:
    owners = reader.texts("owners")
    place = reader.path("runs")
    runs = [_frame_run(row, owners, place, index) for index, row in enumerate(reader.items("runs"))]
    return FrameMap(reader.integer("cycle"), reader.integer("frames"), runs)


def _frame_run(row: Any, owners: list[str], place: str, index: int) -> FrameRun:
    # Written without Reader: a map of 4 GiB has hundreds of thousands of these.
    try:
        start, length, state, owner = row
        if type(start) is int and type(length) is int and type(owner) is int and owner >= 0:
            return FrameRun(start, length, FrameState[state], owners[owner])
    except (TypeError, ValueError, KeyError, IndexError):
        pass
    raise UsageError(
        f"{place}[{index}]: expected [first pfn, number of frames, state, index into owners],"
        f" found {row!r:.100}"
    )
