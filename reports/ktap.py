# SPDX-License-Identifier: GPL-2.0-or-later
"""KTAP version 1 (the kernel's Documentation/dev-tools/ktap.rst): one test, a subtest a cycle.

How the verdicts become KTAP's result and directive is in ``LINE`` below and in
docs/exit-codes.md. INFRA and BUILD are SKIP, as in ``--exit-style=kselftest``: KTAP has no word for
"the rig failed", a reader of ``not ok`` would blame the kernel, and the directive's text keeps the
true verdict. In a run that ends so, checks that did not hold are no judgement either: SKIP as well.
"""

from __future__ import annotations

from harness.results import Check, Finding, RunResult
from harness.verdict import Verdict
from reports import wording

VERSION_LINE = "KTAP version 1"

# Verdict: (result, directive). The directive's text is "VERDICT: reason", PASS has none.
LINE = {
    Verdict.PASS: ("ok", ""),
    Verdict.FAIL: ("not ok", ""),
    Verdict.SKIP: ("ok", "SKIP"),
    Verdict.XFAIL: ("ok", "XFAIL"),
    Verdict.XPASS: ("not ok", ""),
    Verdict.HANG: ("not ok", "TIMEOUT"),
    Verdict.PANIC: ("not ok", "ERROR"),
    Verdict.INFRA: ("ok", "SKIP"),
    Verdict.BUILD: ("ok", "SKIP"),
}

CONSOLE_LINES = 40
FINDINGS_A_CHECK = 20


def render(result: RunResult) -> str:
    """The whole document, with a line end at its end."""
    lines = [VERSION_LINE, "1..1", *_cycles(result), *_diagnostics(result)]
    lines.append(_run_line(result))
    return "\n".join(lines) + "\n"


def _run_line(result: RunResult) -> str:
    outcome, directive = LINE[result.verdict]
    line = f"{outcome} 1 {_description(result.scenario)}"
    if result.verdict is Verdict.PASS:
        return line
    # "FAIL:" is no directive of KTAP's, so that a reason that starts with one stays a reason.
    text = f"{result.verdict.value}: {wording.clean_line(result.reason)}".rstrip()
    return f"{line} # {directive} {text}" if directive else f"{line} # {text}"


def _cycles(result: RunResult) -> list[str]:
    """The nested document with a subtest for each cycle, none if nothing was checked."""
    cycles: dict[int, list[Check]] = {}
    for check in result.checks:
        cycles.setdefault(check.cycle, []).append(check)
    if not cycles:
        return []
    lines = [VERSION_LINE, f"1..{len(cycles)}"]
    for number, (cycle, checks) in enumerate(sorted(cycles.items()), start=1):
        lines += _indent([VERSION_LINE, f"1..{len(checks)}"])
        for index, check in enumerate(checks, start=1):
            lines += _indent(_check(result, index, check))
        lines.append(_cycle_line(result, number, cycle, checks))
    return _indent(lines)


def _cycle_line(result: RunResult, number: int, cycle: int, checks: list[Check]) -> str:
    """A cycle that the run died in is not proved, even if no check had failed by then."""
    name = f"cycle {cycle}" if cycle else "outside the cycles"
    died = not result.verdict.good and cycle > result.cycles_proved
    passed = all(check.passed for check in checks)
    if not passed and not died and all(check.passed or check.as_known for check in checks):
        return f"ok {number} {name} # XFAIL expected to fail"
    if died and passed and (note := LINE[result.verdict][1]) in ("TIMEOUT", "ERROR"):
        return f"not ok {number} {name} # {note} {result.verdict.value}"
    return _result_line(result, number, name, passed and not died)


def _check(result: RunResult, number: int, check: Check) -> list[str]:
    name = _description(check.name)
    lines = []
    if check.detail:
        lines.append(f"# {name}: {wording.clean_line(check.detail)}")
    unit = "pages or items compared"
    oracle = wording.clean_line(check.oracle)
    lines.append(f"# {name}: {check.compared} {unit}, {check.seconds:.3f} s, oracle {oracle}")
    for rule in check.rules:
        uses = f"excused {wording.count(rule.uses, 'page')}" if rule.uses else "not used"
        reason = wording.clean_line(rule.reason)
        lines.append(f"# {name}: rule {wording.clean_line(rule.name)} {uses}: {reason}")
    for finding in check.findings[:FINDINGS_A_CHECK]:
        lines += [f"# {name}: {line}" for line in finding_lines(finding)]
    if len(check.findings) > FINDINGS_A_CHECK:
        lines.append(f"# {name}: and {len(check.findings) - FINDINGS_A_CHECK} more findings")
    if check.as_known:
        lines.append(f"ok {number} {name} # XFAIL {wording.known(result, check.known)}")
    else:
        lines.append(_result_line(result, number, name, check.passed))
    return lines


def _result_line(result: RunResult, number: int, name: str, passed: bool) -> str:
    if passed:
        return f"ok {number} {name}"
    if result.verdict is Verdict.XFAIL:
        return f"ok {number} {name} # XFAIL expected to fail"
    if LINE[result.verdict][1] == "SKIP":
        return f"ok {number} {name} # SKIP {result.verdict.value}: did not hold, cannot be judged"
    return f"not ok {number} {name}"


def finding_lines(finding: Finding) -> list[str]:
    """A finding as plain lines: what and where, then expected and found bytes."""
    clean = wording.clean_line
    parts = [clean(finding.message), f"stage {clean(finding.stage)}"]
    if finding.pfn is not None:
        parts.append(f"pfn {wording.frame(finding.pfn)}")
    if finding.gpa is not None:
        parts.append(f"GPA {wording.address(finding.gpa)}")
    if finding.owner:
        parts.append(f"owner {clean(finding.owner)}")
    if finding.differing_bytes is not None:
        parts.append(wording.differing_count(finding))
    lines = ["FINDING " + ", ".join(parts)]
    if finding.expected is not None:
        lines.append("  expected " + wording.hex_bytes(finding.expected))
    if finding.found is not None:
        lines.append("  found    " + wording.hex_bytes(finding.found))
    return lines


def _diagnostics(result: RunResult) -> list[str]:
    lines = []
    if result.kernel:
        lines.append(f"kernel {result.kernel.release} {result.kernel.arch}")
    lines.append(f"machine {result.engine} {result.accelerator}: {result.accelerator_reason}")
    lines += [f"{name} {value}" for name, value in result.properties.items()]
    lines += [f"known defect {wording.known_defect(known)}" for known in result.known_defects]
    if result.failed_stage:
        lines.append(f"failed in stage {result.failed_stage}")
    if not result.verdict.good:
        lines += [f"console: {line}" for line in result.console_tail[-CONSOLE_LINES:]]
    lines.append(f"artifacts {result.folder}")
    lines.append(f"reproduce {result.command}")
    return [f"# {wording.clean_line(line)}".rstrip() for line in lines]


def _description(text: str) -> str:
    """A test's name; KTAP forbids '#', which starts the directive."""
    return wording.clean_line(text).replace("#", "no.").strip() or "unnamed"


def _indent(lines: list[str]) -> list[str]:
    return ["  " + line for line in lines]
