# SPDX-License-Identifier: GPL-2.0-or-later
"""The final result of a run for a person at a terminal.

The verdict and its reason stand first, what to do next (artifacts, the command that reproduces the
run) last, where the eye rests when the prompt comes back. Everything a guest wrote goes through
``wording.clean`` and into rich as Text, never as markup: a console line like ``[bold]`` or an
escape sequence stays what it is.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.results import Finding, RunResult
from harness.verdict import Verdict
from reports import wording
from reports.summary import (
    CheckGroup,
    RuleTotal,
    check_groups,
    cycles_begun,
    last_stage,
    rule_totals,
)

VERDICT_STYLES = {
    Verdict.PASS: "bold white on dark_green",
    Verdict.XFAIL: "bold white on dark_green",
    Verdict.XPASS: "bold white on dark_magenta",
    Verdict.SKIP: "bold black on grey70",
    Verdict.FAIL: "bold white on red3",
    Verdict.PANIC: "bold white on red3",
    Verdict.HANG: "bold white on red3",
    Verdict.INFRA: "bold black on dark_orange",
    Verdict.BUILD: "bold black on dark_orange",
}

FINDINGS_SHOWN = 10
CONSOLE_LINES_SHOWN = 25
LABEL_WIDTH = 12  # columns


def print_result(result: RunResult, file: TextIO | None = None) -> None:
    """Prints ``result``; colours only on a terminal and without NO_COLOR (https://no-color.org)."""
    out = file or sys.stdout
    terminal = out.isatty() and os.environ.get("TERM") != "dumb"
    unicode = (out.encoding or "ascii").lower().replace("-", "").startswith("utf")
    columns = os.get_terminal_size(out.fileno()).columns if terminal else 0
    text = render(
        result,
        color=terminal and not os.environ.get("NO_COLOR"),
        width=max(columns, 60) if columns else 100,
        unicode=unicode,
    )
    if not unicode:
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    out.write(text)
    out.flush()


def render(
    result: RunResult, *, color: bool = False, width: int = 100, unicode: bool = True
) -> str:
    """The result as text, lines at most ``width`` columns but for paths, commands and console."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="256" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        _environ={},  # NO_COLOR, COLUMNS and the like were judged by the caller
    )
    _Renderer(console, result, unicode).run()
    # rich pads cells to the width of their column.
    return "\n".join(line.rstrip() for line in buffer.getvalue().split("\n"))


class _Renderer:
    def __init__(self, console: Console, result: RunResult, unicode: bool) -> None:
        self.console = console
        self.result = result
        self.good, self.bad = ("✓", "✗") if unicode else ("ok", "BAD")

    def run(self) -> None:
        self.banner()
        self.facts()
        self.findings()
        self.checks()
        self.rules()
        self.console_tail()
        self.what_next()

    def line(self, *parts: str | tuple[str, str]) -> None:
        """One line, never wrapped or cut: it can be copied and searched for."""
        self.console.print(Text.assemble(*parts), soft_wrap=True)

    def heading(self, title: str, more: str = "") -> None:
        self.console.print()
        self.line((title, "bold"), (f"  {more}" if more else "", "dim"))

    def banner(self) -> None:
        result = self.result
        self.console.print()
        self.line(
            (f" {result.verdict.value} ", VERDICT_STYLES[result.verdict]),
            "  ",
            (wording.clean_line(result.scenario), "bold"),
        )
        if result.reason:
            style = "" if result.verdict.good else "bold"
            reason = Text(wording.clean_line(result.reason), style=style)
            self.console.print(Padding(reason, (0, 0, 0, 2)))
        self.console.print()

    def fact(self, label: str, value: str) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=LABEL_WIDTH, no_wrap=True)
        grid.add_column()
        grid.add_row(Text("  " + label, style="dim"), Text(value))
        self.console.print(grid)

    def facts(self) -> None:
        result = self.result
        clean = wording.clean_line
        if result.kernel:
            kernel = result.kernel
            self.fact(
                "kernel", clean(f"{kernel.release}, {kernel.arch} (asked for: {kernel.name})")
            )
        machine = f"{result.engine}, {result.accelerator}"
        reason = f": {result.accelerator_reason}" if result.accelerator_reason else ""
        self.fact("machine", clean(machine + reason))
        if result.options:
            options = ", ".join(f"{name} {value}" for name, value in result.options.items())
            self.fact("options", clean(options))
        begun = max(cycles_begun(result), result.cycles_proved)
        parts = [f"{result.cycles_proved} of {wording.count(begun, 'cycle')} proved"] * (begun > 0)
        parts += [
            wording.count(len(result.lives), "life", "lives"),
            wording.seconds(result.seconds),
        ]
        self.fact("run", ", ".join(parts))
        self.stage_fact()
        for known in result.known_defects:
            self.fact("known", wording.known_defect(known))
        properties = [
            f"{name} {value}" for name, value in result.properties.items() if name != "proved"
        ]
        if properties:
            self.fact("made with", clean(", ".join(properties)))

    def stage_fact(self) -> None:
        result = self.result
        last = last_stage(result)
        parts = []
        if result.failed_stage:
            parts.append(f"failed in {result.failed_stage}")
        if last and not result.verdict.good:
            life = f"life {last.life.index} (role {last.life.role}, cycle {last.life.cycle})"
            end = f"its end: {last.life.outcome.value}"
            if not last.finished:
                begun = wording.seconds(last.stage.start)
                parts.append(f"{life} did not get out of {last.stage.name}, begun at {begun}")
                parts.append(end)
            elif not result.failed_stage:
                parts.append(f"{life} got as far as {last.stage.name}")
                parts.append(end)
        if not result.verdict.good and not result.target_reached:
            parts.append("the stage under test was never reached")
        if parts:
            self.fact("stage", wording.clean_line("; ".join(parts)))

    def findings(self) -> None:
        findings = self.result.findings
        if not findings:
            return
        self.heading(wording.count(len(findings), "finding").capitalize())
        for number, finding in enumerate(findings[:FINDINGS_SHOWN], start=1):
            self.finding(number, finding)
        if len(findings) > FINDINGS_SHOWN:
            rest = len(findings) - FINDINGS_SHOWN
            self.console.print()
            self.line((f"  and {rest:,} more: see report.html or result.json", "bold"))

    def finding(self, number: int, finding: Finding) -> None:
        clean = wording.clean_line
        self.console.print()
        where = wording.place(finding)
        blame = f"  {finding.oracle}, blames {finding.stage}" + (f", {where}" if where else "")
        self.line(f"  {number}. ", (clean(finding.message), "bold red"), (clean(blame), "dim"))
        place = []
        if finding.pfn is not None:
            place.append(f"pfn {wording.frame(finding.pfn)}")
        if finding.gpa is not None:
            place.append(f"first at GPA {wording.address(finding.gpa)}")
        if finding.owner:
            place.append(f"owner {clean(finding.owner)}")
        if place:
            self.line("     " + ", ".join(place))
        self.finding_bytes(finding)

    def finding_bytes(self, finding: Finding) -> None:
        for label, data, other in (
            ("expected", finding.expected, finding.found),
            ("found", finding.found, finding.expected),
        ):
            if data is not None:
                self.line(f"     {label:<9} ", *_marked(data, other))
        if finding.expected is not None and finding.found is not None:
            marks = wording.hex_marks(finding.expected, finding.found)
            if marks:
                self.line(" " * 15, (marks, "bold red"))
        if finding.differing_bytes is not None:
            self.line(("     " + wording.differing_count(finding), ""))

    def checks(self) -> None:
        groups = check_groups(self.result)
        if not groups:
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("")
        table.add_column("")
        table.add_column("held", justify="right", no_wrap=True)
        table.add_column("compared", justify="right", no_wrap=True)
        table.add_column("time", justify="right", no_wrap=True)
        for group in groups:
            table.add_row(*self.check_cells(group))
        good = sum(group.good for group in groups)
        self.heading("Checks", f"{good} of {len(groups)} hold")
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def check_cells(self, group: CheckGroup) -> list[Text]:
        mark = Text(self.good, style="green") if group.good else Text(self.bad, style="bold red")
        if group.as_known:
            mark = Text(self.bad, style="yellow")
        name = Text(wording.clean_line(group.name), style="" if group.good else "bold")
        cycles = ", ".join(str(cycle) for cycle in group.failed_cycles if cycle)
        known = wording.known(self.result, group.known)
        notes = [
            f"not in cycle {cycles}" if cycles else "",
            f"as known, {known}" if group.as_known else "",
            wording.clean_line(group.detail),
        ]
        note = "; ".join(part for part in notes if part)
        if note:
            name.append(f"\n{note}", style="dim")
        return [
            mark,
            name,
            Text(f"{group.passed} of {group.total}"),
            Text(f"{group.compared:,}" if group.compared else ""),
            Text(wording.seconds(group.seconds)),
        ]

    def rules(self) -> None:
        totals = rule_totals(self.result)
        if not totals:
            return
        unused = sum(total.uses == 0 for total in totals)
        note = f"{wording.count(unused, 'rule')} never used" if unused else ""
        self.heading("Rules: what was allowed to differ", note)
        for total in totals:
            self.rule(total)

    def rule(self, total: RuleTotal) -> None:
        style = "yellow" if total.uses == 0 else ""
        uses = wording.count(total.uses, "page") if total.uses else "never used"
        line = Text(wording.clean_line(total.name), style=style)
        line.append(f", {uses}: ", style=style)
        line.append(wording.clean_line(total.reason), style="dim")
        self.console.print(Padding(line, (0, 0, 0, 2)))

    def console_tail(self) -> None:
        lines = self.result.console_tail
        if self.result.verdict.good or not lines:
            return
        shown = lines[-CONSOLE_LINES_SHOWN:]
        self.heading("End of the guest's console", f"last {wording.count(len(shown), 'line')}")
        for line in shown:
            self.line(("  | ", "dim"), wording.clean_line(line))

    def what_next(self) -> None:
        result = self.result
        self.console.print()
        folder = wording.clean_line(str(result.folder))
        self.line(("  artifacts   ", "dim"), folder)
        self.line(("  report      ", "dim"), shlex.quote(f"{folder}/report.html"))
        self.line(("  reproduce   ", "dim"), (wording.clean_line(result.command), "bold"))
        self.console.print()


def _marked(data: bytes, other: bytes | None) -> list[str | tuple[str, str]]:
    """Hex digits of ``data``; bytes that differ from ``other`` in red."""
    marks = wording.differing(data, other) if other is not None else [False] * len(data)
    parts: list[str | tuple[str, str]] = []
    for index, byte in enumerate(data):
        text = f"{byte:02x}"
        parts.append((text, "bold red") if marks[index] else text)
        parts.append(" ")
    return parts[:-1]
