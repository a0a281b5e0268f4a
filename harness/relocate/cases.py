# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs cases, adds up what they show, and judges it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jumpback_relocate as jr

from harness.errors import InfraError, UsageError
from harness.relocate.subject import Subject
from harness.verdict import Verdict

# Cases between two looks at Ctrl-C and two steps of the progress bar: well under a second.
_AT_A_TIME = 200


@dataclass(frozen=True)
class Plan:
    """Which cases are run. ``case``: this one alone."""

    cases: int
    seed: int
    pages: int
    both_ways: bool = True
    break_name: str = ""
    case: int | None = None
    strict: bool = False  # known defects are failures


@dataclass
class Checked:
    """All that a run has shown."""

    subject: Subject
    plan: Plan
    tally: jr.Tally
    verdict: Verdict
    reason: str
    seconds: float  # of wall clock, for the cases alone
    changed: str = ""  # by the break
    blamed: bool | None = None  # a break: whether every failure was seen where it must be
    shown: list[tuple[int, jr.ShownCase]] = field(default_factory=list)  # laid open
    others: list[int] = field(default_factory=list)  # first cases of other kinds of difference


def run(subject: Subject, plan: Plan, *, tick: Callable[[int], None] | None = None) -> Checked:
    """``tick`` hears how many cases are done.

    Raises UsageError where this kernel has no place for the break, InfraError.
    """
    target = subject.target if not plan.break_name else _broken(subject.target, plan.break_name)
    try:
        session = jr.Session(target, plan.seed, plan.pages, plan.both_ways)
        started = time.monotonic()
        tally = _all_cases(session, plan, tick)
        seconds = time.monotonic() - started
        different = _different(tally["failures"])
        if plan.case is not None:
            shown = [(plan.case, session.show(plan.case))]
        else:
            shown = [(index, session.show(index)) for index in different[:1]]
    except jr.RelocateError as error:
        raise InfraError(str(error)) from error
    verdict, reason = judge(
        tally, strict=plan.strict, catalogued=subject.catalogued, fixed=subject.fixed
    )
    if plan.break_name and not tally["failed"]:
        verdict = Verdict.XPASS
        reason = f"{plan.break_name} was not noticed: no case of this run can show it"
    checked = Checked(subject, plan, tally, verdict, reason, seconds, target.changed)
    checked.shown, checked.others = shown, different[1:] if plan.case is None else []
    if plan.break_name and tally["failures"]:
        fault = next(fault for fault in jr.breaks() if fault["name"] == plan.break_name)
        checked.blamed = all(_blames(fault, failure) for failure in tally["failures"])
    return checked


def judge(
    tally: jr.Tally, *, strict: bool, catalogued: bool, fixed: frozenset[str] = frozenset()
) -> tuple[Verdict, str]:
    """``strict``: known defects are failures. ``catalogued``: they have to show, but for those of
    the findings ``fixed``, which must not."""
    if tally["failed"]:
        first = tally["failures"][0]
        return Verdict.FAIL, f"case {first['case']}: {news(first['findings'])[0]['text']}"
    shown = [defect for defect in tally["defects"] if defect["shown"]]
    if shown and strict:
        return Verdict.FAIL, f"known defects, which --strict forbids: {_named(shown)}"
    back = [defect for defect in shown if finding_of(defect) in fixed]
    if back:
        return Verdict.FAIL, f"this kernel's patches mend it, and it shows: {_named(back)}"
    gone = [
        defect
        for defect in tally["defects"]
        if not defect["shown"] and finding_of(defect) not in fixed
    ]
    if gone and catalogued:
        return Verdict.XPASS, f"a known defect did not show: {_named(gone)}"
    if shown:
        return Verdict.XFAIL, f"as the model says, but for known defects: {_named(shown)}"
    return Verdict.PASS, f"all {tally['cases']} cases as the model says"


def finding_of(defect: jr.Defect) -> str:
    """The page of docs/findings that tells of it, without ".md"; "" if there is none."""
    return Path(defect["page"]).stem


def news(findings: list[jr.Finding]) -> list[jr.Finding]:
    """Those that no known defect explains."""
    return [finding for finding in findings if finding["known"] is None]


def _named(defects: list[jr.ShownDefect]) -> str:
    return ", ".join(
        f"{defect['id']} ({defect['page']})" if defect["page"] else defect["id"]
        for defect in defects
    )


def _broken(target: jr.Target, name: str) -> jr.Target:
    try:
        return target.broken(name)
    except jr.RelocateError as error:
        raise UsageError(str(error)) from error


def _blames(fault: jr.Break, failure: jr.FailedCase) -> bool:
    first = news(failure["findings"])[0]
    return first["stop"] == fault["stop"] and first["item"] in fault["items"]


def _all_cases(session: jr.Session, plan: Plan, tick: Callable[[int], None] | None) -> jr.Tally:
    if plan.case is not None:
        return session.run(plan.case, 1)
    total = session.run(0, 0)
    for first in range(0, plan.cases, _AT_A_TIME):
        count = min(_AT_A_TIME, plan.cases - first)
        _add(total, session.run(first, count))
        if tick is not None:
            tick(first + count)
    return total


def _different(failures: list[jr.FailedCase]) -> list[int]:
    """The first case of each kind of difference."""
    seen: dict[tuple[str, str], int] = {}
    for failure in failures:
        seen.setdefault(_first_kind(failure), failure["case"])
    return list(seen.values())


def _first_kind(failure: jr.FailedCase) -> tuple[str, str]:
    first = news(failure["findings"])[0]
    return first["stop"], first["item"]


def _add(total: jr.Tally, more: jr.Tally) -> None:
    total["cases"] += more["cases"]
    total["clean"] += more["clean"]
    total["known"] += more["known"]
    total["failed"] += more["failed"]
    total["pages"] += more["pages"]
    total["came_back"] += more["came_back"]
    total["most_pages"] = max(total["most_pages"], more["most_pages"])
    total["most_list_pages"] = max(total["most_list_pages"], more["most_list_pages"])
    for kinds, new in ((total["lists"], more["lists"]), (total["callees"], more["callees"])):
        for name, number in new.items():
            kinds[name] = kinds.get(name, 0) + number
    _add_defects(total["defects"], more["defects"])
    _add_rules(total["rules"], more["rules"])
    for failure in more["failures"]:
        kinds_so_far = {_first_kind(kept) for kept in total["failures"]}
        if len(total["failures"]) < jr.KEPT_FAILURES or _first_kind(failure) not in kinds_so_far:
            total["failures"].append(failure)
    kept = {_kind(example) for example in total["examples"]}
    total["examples"] += [example for example in more["examples"] if _kind(example) not in kept]


def _kind(finding: jr.Finding) -> tuple[str, str, str]:
    known = finding["known"]
    return finding["stop"], finding["item"], known["id"] if known else ""


def _add_defects(total: list[jr.ShownDefect], more: list[jr.ShownDefect]) -> None:
    for defect in more:
        same = next((known for known in total if known["id"] == defect["id"]), None)
        if same is None:
            total.append(defect)
        else:
            same["could_show"] += defect["could_show"]
            same["shown"] += defect["shown"]


def _add_rules(total: list[jr.Rule], more: list[jr.Rule]) -> None:
    for rule in more:
        same = next((known for known in total if known["name"] == rule["name"]), None)
        if same is None:
            total.append(rule)
        else:
            same["offered"] += rule["offered"]
            same["used"] += rule["used"]
