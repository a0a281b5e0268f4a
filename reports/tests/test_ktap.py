# SPDX-License-Identifier: GPL-2.0-or-later
"""KTAP, read back by a small strict parser after Documentation/dev-tools/ktap.rst."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given

from harness.results import RunResult
from harness.verdict import Verdict
from reports import ktap
from reports.tests import strategies
from reports.tests.sample_run import fail_run, panic_run, pass_run, xfail_run, xpass_run

RESULT = re.compile(r"(ok|not ok) (\d+) ([^#]*?)(?: # ?(SKIP|XFAIL|TIMEOUT|ERROR)?(.*))?")
DOCS = Path(__file__).parents[2] / "docs" / "exit-codes.md"


@dataclass
class Node:
    ok: bool
    name: str
    directive: str
    text: str
    children: list["Node"] = field(default_factory=list)


def parse(lines: list[str], depth: int = 0) -> list[Node]:
    """Takes one document off the front of ``lines``; any line that does not fit is an error."""
    indent = "  " * depth
    assert lines.pop(0) == indent + "KTAP version 1"
    plan = re.fullmatch(indent + r"1\.\.(\d+)", lines.pop(0))
    assert plan
    nodes: list[Node] = []
    nested: list[Node] = []
    while len(nodes) < int(plan[1]):
        line = lines.pop(0)
        if line.startswith(indent + "#"):
            continue
        if line.startswith(indent + "  KTAP"):
            lines.insert(0, line)
            nested = parse(lines, depth + 1)
            continue
        match = RESULT.fullmatch(line[len(indent) :])
        assert match and line.startswith(indent) and int(match[2]) == len(nodes) + 1, line
        nodes.append(Node(match[1] == "ok", match[3], match[4] or "", match[5] or "", nested))
        nested = []
    return nodes


def parse_run(result: RunResult) -> Node:
    lines = ktap.render(result).rstrip("\n").split("\n")
    (node,) = parse(lines)
    assert lines == []
    return node


def test_pass() -> None:
    run = parse_run(pass_run())
    assert (run.ok, run.name, run.directive) == (True, "hibernate-disk", "")
    assert [cycle.name for cycle in run.children] == ["cycle 1", "cycle 2"]
    assert [check.name for check in run.children[0].children] == [
        check.name for check in pass_run().checks[:5]
    ]
    assert all(check.ok for cycle in run.children for check in cycle.children)


def test_fail_is_seen_at_every_level() -> None:
    run = parse_run(fail_run())
    assert not run.ok
    assert "FAIL: restored memory differs" in run.text
    assert [cycle.ok for cycle in run.children] == [True, False]
    assert [check.ok for check in run.children[1].children] == [True, False, False, True, True]


def test_findings_and_the_end_of_the_console_are_diagnostics() -> None:
    lines = ktap.render(fail_run()).splitlines()
    found = [line for line in lines if "FINDING page differs" in line]
    assert len(found) == 1 and found[0].startswith("    # restored RAM equals the image: ")
    assert "pfn 0x4e21" in found[0] and "init_task+0x120" in found[0]
    assert "# console: [    1.205010] Kernel panic - not syncing: Fatal exception" in ktap.render(
        panic_run()
    )
    assert f"# reproduce {fail_run().command}" in lines


def test_the_cycle_that_panicked_is_not_ok() -> None:
    run = parse_run(panic_run())
    assert (run.ok, run.directive) == (False, "ERROR")
    assert run.text.startswith(" PANIC: kernel panic in read-image")
    (cycle,) = run.children
    assert (cycle.ok, cycle.directive) == (False, "ERROR")
    assert cycle.children[0].ok


@pytest.mark.parametrize("verdict", Verdict)
def test_the_table_in_the_docs_is_the_code(verdict: Verdict) -> None:
    result = fail_run()
    result.verdict = verdict
    run = parse_run(result)
    outcome = "ok" if run.ok else "not ok"
    cell = f"`{outcome} … # {run.directive}`" if run.directive else f"`{outcome}`"
    assert f"| {verdict.value} | {cell} |" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("verdict", [Verdict.XFAIL, Verdict.INFRA, Verdict.SKIP])
def test_no_subtest_fails_where_the_run_does_not_blame_the_kernel(verdict: Verdict) -> None:
    result = fail_run()
    result.verdict = verdict
    run = parse_run(result)
    failed = run.children[1].children[1]
    assert failed.ok and failed.directive == run.directive != ""


def test_a_known_failure_names_its_page_and_fails_nothing() -> None:
    run = parse_run(xfail_run())
    assert (run.ok, run.directive) == (True, "XFAIL")
    assert "XFAIL: as known, unwinding-label" in run.text
    (cycle,) = run.children
    check = cycle.children[-1]
    assert (check.ok, check.directive, check.text.strip()) == (
        True,
        "XFAIL",
        "docs/findings/unwinding-label.md",
    )


def test_a_known_failure_stays_one_beside_a_new_one() -> None:
    result = fail_run()
    result.checks.append(xfail_run().checks[-1])
    result.known_defects = xfail_run().known_defects
    run = parse_run(result)
    assert not run.ok
    first, second = run.children
    assert (first.ok, first.directive) == (True, "XFAIL")
    assert not second.ok
    assert first.children[-1].ok and not second.children[1].ok


def test_a_known_failure_that_did_not_show_is_not_ok() -> None:
    run = parse_run(xpass_run())
    assert not run.ok
    assert "XPASS: unwinding-label" in run.text and "did not show" in run.text
    lines = ktap.render(xpass_run()).splitlines()
    assert any(line.startswith("# known defect") and "did not show" in line for line in lines)


def test_a_run_without_checks_has_no_subtests() -> None:
    result = RunResult(
        "hibernate-disk", Verdict.BUILD, "gcc is missing", "jumpback run", Path("r"), None, "qemu",
        "tcg", "",
    )  # fmt: skip
    assert ktap.render(result).splitlines()[:2] == ["KTAP version 1", "1..1"]
    run = parse_run(result)
    assert (run.ok, run.directive, run.text) == (True, "SKIP", " BUILD: gcc is missing")


def test_guest_text_cannot_add_result_lines() -> None:
    result = fail_run()
    result.reason = "first\nok 2 forged"
    result.scenario = "a # SKIP b"
    result.console_tail = ["x\nok 1 forged"]
    run = parse_run(result)
    assert not run.ok
    assert run.directive == ""


@strategies.relaxed
@given(strategies.runs)
def test_any_run_is_valid_ktap(result: RunResult) -> None:
    run = parse_run(result)
    assert run.ok == (ktap.LINE[result.verdict][0] == "ok")
    assert sum(len(cycle.children) for cycle in run.children) == len(result.checks)
