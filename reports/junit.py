# SPDX-License-Identifier: GPL-2.0-or-later
"""JUnit XML: a test suite for the run, a test case for each check and one for the run itself.

The last test case, named like the scenario, carries the verdict: FAIL, PANIC, HANG and XPASS as
failure, INFRA and BUILD as error (JUnit's word for "the test could not be made"), SKIP and XFAIL as
skipped. The element's ``type`` is the verdict's own word.
"""

from __future__ import annotations

from pathlib import Path

import junitparser

from harness.results import Check, RunResult
from harness.verdict import Verdict
from reports import wording
from reports.ktap import finding_lines

ELEMENT = {
    Verdict.FAIL: junitparser.Failure,
    Verdict.PANIC: junitparser.Failure,
    Verdict.HANG: junitparser.Failure,
    Verdict.INFRA: junitparser.Error,
    Verdict.BUILD: junitparser.Error,
    Verdict.SKIP: junitparser.Skipped,
    Verdict.XFAIL: junitparser.Skipped,
    Verdict.XPASS: junitparser.Failure,
}

FINDINGS_SHOWN = 100


def render(result: RunResult) -> str:
    """The document as text, UTF-8 declared."""
    document = junitparser.JUnitXml(name="jumpback")
    document.add_testsuite(_suite(result))
    document.update_statistics()
    body: str = document.tostring().decode("utf-8")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def write(result: RunResult, path: Path) -> None:
    """Writes the document; the folder of ``path`` must be there."""
    path.write_text(render(result), encoding="utf-8")


def _suite(result: RunResult) -> junitparser.TestSuite:
    suite = junitparser.TestSuite(name=_xml(result.scenario))
    if result.started_at:
        suite.timestamp = _xml(result.started_at)
    for name, value in _properties(result).items():
        suite.add_property(_xml(name), _xml(value))
    for check in result.checks:
        suite.add_testcase(_check_case(result, check))
    suite.add_testcase(_run_case(result))
    return suite


def _properties(result: RunResult) -> dict[str, str]:
    properties = {
        "verdict": result.verdict.value,
        "engine": result.engine,
        "accelerator": result.accelerator,
        "accelerator_reason": result.accelerator_reason,
        "seed": str(result.seed),
        "cycles_proved": str(result.cycles_proved),
        "reproduce": result.command,
        "artifacts": str(result.folder),
    }
    if result.kernel:
        properties["kernel_release"] = result.kernel.release
        properties["kernel_arch"] = result.kernel.arch
    if result.failed_stage:
        properties["failed_stage"] = result.failed_stage
    properties.update({f"option.{name}": value for name, value in result.options.items()})
    return properties | result.properties


def _check_case(result: RunResult, check: Check) -> junitparser.TestCase:
    where = f"cycle {check.cycle}" if check.cycle else "run"
    case = junitparser.TestCase(
        name=_xml(check.name), classname=_xml(f"{result.scenario}.{where}"), time=check.seconds
    )
    if not check.passed:
        # Where the whole run is no judgement of the kernel, neither is a check of it.
        kind = ELEMENT.get(result.verdict, junitparser.Failure)
        message, word = check.detail or "did not hold", result.verdict
        if check.as_known:
            kind, word = junitparser.Skipped, Verdict.XFAIL
            message = f"as known, {wording.known(result, check.known)}: {message}"
        case.result = [_element(kind, message, word, _findings([check]))]
    return case


def _run_case(result: RunResult) -> junitparser.TestCase:
    rest = result.seconds - sum(check.seconds for check in result.checks)
    case = junitparser.TestCase(
        name=_xml(result.scenario), classname=_xml(result.scenario), time=max(rest, 0.0)
    )
    if result.verdict is not Verdict.PASS:
        known = [f"known defect {wording.known_defect(known)}" for known in result.known_defects]
        text = [*known, *_findings(result.checks), "", f"artifacts: {result.folder}"]
        text.append(f"reproduce: {result.command}")
        if result.console_tail:
            text += ["", "end of the guest's console:", *result.console_tail]
        kind = ELEMENT[result.verdict]
        message = f"{result.verdict.value}: {result.reason}"
        case.result = [_element(kind, message, result.verdict, text)]
    if result.console_tail:
        case.system_out = _xml("\n".join(result.console_tail))
    return case


def _element(
    kind: type[junitparser.Result], message: str, word: Verdict, text: list[str]
) -> junitparser.Result:
    element = kind(_xml(wording.clean_line(message)), word.value)
    element.text = _xml("\n".join(text))
    return element


def _findings(checks: list[Check]) -> list[str]:
    findings = [finding for check in checks for finding in check.findings]
    lines = [line for finding in findings[:FINDINGS_SHOWN] for line in finding_lines(finding)]
    if len(findings) > FINDINGS_SHOWN:
        lines.append(f"and {len(findings) - FINDINGS_SHOWN} more findings")
    return lines


def _xml(text: str) -> str:
    """XML 1.0 has no way at all to write most control characters: ``clean`` makes them visible."""
    return wording.clean(text)
