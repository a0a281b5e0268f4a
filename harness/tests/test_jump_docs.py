# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/jump-sequence.md says what the model does: its tables, read and compared."""

from __future__ import annotations

import jumpback_jump as jj
import pytest

from harness.paths import TREE

pytestmark = pytest.mark.timeout(20)

PAGE = TREE / "docs" / "jump-sequence.md"
VERSIONS = ["5.10", "6.1", "6.12", "7.2"]
BRANCHES = {"jump": "The jump", "plain": "Plain kexec"}
ERRNO = {-16: "-EBUSY"}


def table(heading: str) -> tuple[list[str], list[list[str]]]:
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return rows[0], rows[2:]


def steps(trace: jj.Trace) -> list[str]:
    return [step.step for step in trace.steps]


@pytest.mark.parametrize("branch", BRANCHES)
def test_steps_of_each_version(branch: str) -> None:
    head, rows = table(BRANCHES[branch])
    assert head[2:6] == VERSIONS
    for version in [*VERSIONS, "7.3"]:
        column = head.index("7.2" if version == "7.3" else version)
        shown = [row[0] for row in rows if row[column] == "✓"]
        assert shown == steps(jj.expected_trace(jj.Kernel(version), jj.Scenario(branch)))


@pytest.mark.parametrize("branch", BRANCHES)
def test_functions_and_where_failures_go(branch: str) -> None:
    _, rows = table(BRANCHES[branch])
    kernel = jj.Kernel("7.2")
    good = jj.expected_trace(kernel, jj.Scenario(branch))
    for row, step in zip(rows, good.steps):
        if step.symbol:
            assert f"`{step.symbol}(" in row[1]
    known = {one.failing: one for one in jj.scenarios(kernel)}
    for name, *_, target in rows:
        if name not in known:
            assert target == "", name
            continue
        trace = jj.expected_trace(kernel, jj.Scenario(branch, name))
        rest = steps(trace)[steps(trace).index(name) + 1 :]
        assert trace.returned is not None
        where = rest[0] if rest else "returns"
        error = ERRNO.get(trace.returned, "")
        assert target == (
            f"{where} {error}" if not rest else ", ".join(filter(None, [where, error]))
        )


def test_machine_kexec() -> None:
    head, rows = table("machine_kexec()")
    assert head[2:7] == [*VERSIONS, "i386"]
    for column, name in enumerate(head[2:7], 2):
        kernel = jj.Kernel("6.1", "i386") if name == "i386" else jj.Kernel(name)
        shown = [row[0] for row in rows if row[column] == "✓"]
        if name == "5.10":  # as the text says
            gdt, idt = shown.index("invalidate-gdt"), shown.index("invalidate-idt")
            shown[gdt], shown[idt] = shown[idt], shown[gdt]
        assert shown == steps(jj.expected_machine_trace(kernel))
        plain = [step for step in shown if dict((r[0], r[7]) for r in rows)[step] != "jump"]
        assert plain == steps(jj.expected_machine_trace(kernel, "plain"))


def test_known_faults() -> None:
    _, rows = table("Known faults")
    shown = [(code, name, since, fixed) for code, name, since, fixed, _ in rows]
    assert shown == [(f.code, f.name, f.introduced, f.fixed) for f in jj.known_faults()]
