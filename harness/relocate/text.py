# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run says to a person."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import jumpback_relocate as jr

from harness.relocate.cases import Checked, Plan, finding_of
from harness.relocate.mutants import MutationRun
from harness.relocate.subject import Subject

_MOST_LIST_LINES = 60
_MOST_FINDINGS = 8


def command(subject: Subject, plan: Plan, case: int) -> str:
    """The one command that runs this case again and lays it open."""
    words = ["jumpback", "relocate-check", shlex.quote(subject.name)]
    if subject.arch != "x86_64" and "/" not in subject.name:
        words.append(f"--arch {subject.arch}")
    words.append(f"--seed {plan.seed}")
    if plan.pages != jr.MOST_PAGES:
        words.append(f"--pages {plan.pages}")
    if not plan.both_ways:
        words.append("--one-way")
    if plan.break_name:
        words.append(f"--break {plan.break_name}")
    if plan.strict:
        words.append("--strict")
    return " ".join([*words, f"--case {case}"])


def heading(subject: Subject) -> Iterator[str]:
    target = subject.target
    yield f"{subject.name}: {target.release}, {subject.arch}, {subject.vmlinux}"
    rules = f"held to the rules of {target.generation}"
    yield f"relocate_kernel: {target.code_bytes} bytes of code, {rules}"
    for note in target.notes:
        yield f"note: {note}"


def render(checked: Checked) -> Iterator[str]:
    yield from heading(checked.subject)
    plan = checked.plan
    if checked.changed:
        yield f"broken on purpose, {plan.break_name}: {checked.changed}"
    yield ""
    if plan.case is None:
        yield from _summary(checked)
    for index, shown in checked.shown:
        yield ""
        yield from _case(checked, index, shown)
    for index in checked.others:
        yield f"  another kind of difference: {command(checked.subject, plan, index)}"
    if checked.blamed is not None:
        yield ""
        yield from _blame(checked)
    yield ""
    yield f"{checked.verdict.value}: {checked.reason}"


def _summary(checked: Checked) -> Iterator[str]:
    tally, plan, fixed = checked.tally, checked.plan, checked.subject.fixed
    ways = "there and back" if plan.both_ways else "one way"
    rate = f", {tally['cases'] / checked.seconds:,.0f} a second" if checked.seconds > 0 else ""
    yield (
        f"{tally['cases']} cases of seed {plan.seed}, lists of up to {plan.pages} pages, "
        f"{ways}{rate}"
    )
    yield (
        f"  {tally['clean']} clean, {tally['known']} with known defects only, "
        f"{tally['failed']} wrong; {tally['came_back']} came back"
    )
    lists = ", ".join(f"{number} {name}" for name, number in sorted(tally["lists"].items()))
    yield (
        f"  {tally['pages']} pages moved, {tally['most_pages']} at most in one case; "
        f"up to {tally['most_list_pages']} list pages; lists: {lists}"
    )
    yield from _rules(tally)
    for defect in tally["defects"]:
        name = f"{defect['id']} ({defect['alias']})" if defect["alias"] else defect["id"]
        yield f"  {name}: {defect['summary']}"
        share = f"{defect['shown']} of {defect['could_show']} cases that can show it"
        mended = "; mended by this kernel's patches" if finding_of(defect) in fixed else ""
        yield f"      shown by {share}" + (f"; {defect['page']}" if defect["page"] else "") + mended
        if defect["fix"]:
            yield f"      mended by mainline commit {defect['fix']}"
        for example in tally["examples"]:
            if example["known"] is not None and example["known"]["id"] == defect["id"]:
                yield f"      e.g. {example['text']}"


def _rules(tally: jr.Tally) -> Iterator[str]:
    """Only those that were never needed: they are either too wide or were not put to the test."""
    for rule in tally["rules"]:
        if rule["used"] == 0:
            yield f"  rule never needed: {rule['name']} ({rule['reason']})"


def _case(checked: Checked, index: int, shown: jr.ShownCase) -> Iterator[str]:
    plan = checked.plan
    mark = "FAIL" if shown["failed"] else "ok" if not shown["findings"] else "XFAIL"
    yield f"{mark}  case {index} of seed {plan.seed}"
    yield "  the case as it was made:"
    yield from (f"    {line}" for line in shown["case"])
    yield from _findings(shown["findings"])
    shrunk = shown["shrunk"]
    if shrunk is not None:
        yield f"  the smallest that still shows it ({shrunk['tried']} cases tried):"
        yield from (f"    {line}" for line in shrunk["case"])
    yield from _list(shown["explanation"])
    if shrunk is not None:
        yield from _findings(shrunk["findings"])
        yield from _trace(shown["explanation"])
    yield f"  again: {command(checked.subject, plan, index)}"


def _findings(findings: list[jr.Finding]) -> Iterator[str]:
    for finding in findings[:_MOST_FINDINGS]:
        if finding["kind"] == "lost":
            yield f"    {finding['text']}"
            continue
        notes = []
        if finding["kind"] == "memory":
            notes.append(f"{finding['differing']} bytes differ, from {finding['gpa']:#x} on")
        if finding["note"]:
            notes.append(f"found is {finding['note']}")
        if finding["known"] is not None:
            notes.append(f"known: {finding['known']['id']}")
        elif finding["resembles"] is not None:
            like = finding["resembles"]
            mended = f", mended by {like['fix']}" if like["fix"] else ""
            notes.append(f"looks like {like['id']}{mended}: {like['summary']}")
        yield f"    {finding['stop']} {finding['place']}" + "".join(f"; {note}" for note in notes)
        yield f"       expected {_value(finding['expected'])}"
        yield f"       found    {_value(finding['found'])}"
    if len(findings) > _MOST_FINDINGS:
        yield f"    and {len(findings) - _MOST_FINDINGS} more differences"


def _value(value: str | int) -> str:
    return value if isinstance(value, str) else f"{value:#x}"


def _list(explanation: jr.Explanation) -> Iterator[str]:
    lines = explanation["list"]
    yield "  its page list:"
    width = max(len(line["place"]) for line in lines)
    for line in lines[:_MOST_LIST_LINES]:
        yield f"    {line['place']:<{width}}  {line['word']:#12x}  {line['meaning']}"
    if len(lines) > _MOST_LIST_LINES:
        yield f"    and {len(lines) - _MOST_LIST_LINES} more words"


def _trace(explanation: jr.Explanation) -> Iterator[str]:
    yield f"  {explanation['blame']}"
    if not explanation["trace"]:
        return
    width = max(len(line["place"]) for line in explanation["trace"])
    for line in explanation["trace"]:
        mark = ">" if line["blamed"] else " "
        times = f"  ({line['times']} rounds)" if line["times"] > 1 else ""
        wrote = f"   writes {line['wrote']}" if line["wrote"] else ""
        yield (
            f"  {mark} {line['step']:>6}  {line['link']:#018x}  {line['place']:<{width}}  "
            f"{line['text']}{times}{wrote}"
        )


def _blame(checked: Checked) -> Iterator[str]:
    fault = next(fault for fault in jr.breaks() if fault["name"] == checked.plan.break_name)
    wanted = f"{fault['stop']} {' or '.join(fault['items'])}"
    if checked.blamed:
        yield f"every failure is seen first where it must be: {wanted}"
    else:
        yield f"NOT every failure is seen first where it must be: {wanted}"


def render_mutants(run: MutationRun) -> Iterator[str]:
    yield from heading(run.subject)
    yield ""
    tried = len(run.results)
    yield (
        f"{tried} mutants of seed {run.seed}, each held to {run.cases} cases, which execute "
        f"{run.executed} of {run.instructions} instructions"
    )
    if run.left_out:
        yield f"  left out, as no case runs them: {', '.join(run.left_out)}"
    yield f"  caught: {len(run.caught)} of {tried} ({_percent(len(run.caught), tried)})"
    executed = [result for result in run.results if result["executed"]]
    yield (
        f"  of the {len(executed)} in code that runs: "
        f"{_percent(len(run.caught), len(executed))}"
    )
    for fate, number in sorted(run.fates.items()):
        yield f"    {number:>5}  {fate}"
    if run.survivors:
        yield "  survivors:"
    for result in run.survivors:
        change = f"{result['was']} -> {result['becomes']}"
        yield f"    {result['mutant']:>5}  {result['place']}: {change}"
        yield f"           {result['fate']}: {result['why']}"
    yield ""
    yield f"{run.verdict.value}: {run.reason}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
