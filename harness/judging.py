# SPDX-License-Identifier: GPL-2.0-or-later
"""From checks, an ending and known defects to the verdict of a run, and the line that says why."""

from __future__ import annotations

from harness.errors import BuildError, GuestHang, GuestPanic, InfraError, SkipError
from harness.known import Applied, Defect
from harness.machine import UnexpectedEnd
from harness.results import Check, RunResult
from harness.verdict import Verdict
from kernel.errors import KernelError

# What ends a run early, and its verdict if nothing had failed before.
_VERDICTS: tuple[tuple[type[Exception], Verdict], ...] = (
    (GuestPanic, Verdict.PANIC),
    (GuestHang, Verdict.HANG),
    (UnexpectedEnd, Verdict.FAIL),
    (SkipError, Verdict.SKIP),
    (BuildError, Verdict.BUILD),
    (KernelError, Verdict.BUILD),
    (InfraError, Verdict.INFRA),
)
DEATHS = tuple(kind for kind, _ in _VERDICTS)


def judge(
    result: RunResult, known: Applied, death: Exception | None, *, own_kernel: bool = False
) -> None:
    """Sets verdict, reason and the blamed stage. ``death``: one of DEATHS that ended the run.

    ``own_kernel``: the user's, which may have a fix that its release does not tell of.
    """
    left = known.explain(result.checks, death)
    result.known_defects = known.results()
    result.verdict, result.reason = _verdict(result, known, death, left, own_kernel)


def _verdict(
    result: RunResult,
    known: Applied,
    death: Exception | None,
    left: Exception | None,
    own_kernel: bool,
) -> tuple[Verdict, str]:
    failed = [check for check in result.checks if not check.passed]
    news = [check for check in failed if not check.known]
    shown = [defect for defect in known.defects if defect.id in known.seen]
    besides = f"; besides, as known: {_named(shown)}" if shown else ""
    if news:
        # What came of a failed proof is told, but is not the verdict.
        verdict, reason = Verdict.FAIL, _failure(result, news)
        then = f"; then {_of(death).value}: {_line(death)}" if death is not None else ""
        return verdict, reason + then + besides
    if left is not None:
        return _of(left), str(left) + besides
    if shown:
        first = _failure(result, failed) if failed else _line(death)
        return _as_known(known, shown, first, own_kernel)
    return _nothing_failed(result, known, own_kernel)


def _as_known(
    known: Applied, shown: list[Defect], first: str, own_kernel: bool
) -> tuple[Verdict, str]:
    gone = known.missing()
    if gone and not own_kernel:
        return Verdict.XPASS, f"{_not_shown(gone)}; as known: {_named(shown)}"
    note = f"; {_does_not_show(gone)}" if gone else ""
    return Verdict.XFAIL, f"as known, {_named(shown)}: {first}{note}"


def _nothing_failed(result: RunResult, known: Applied, own_kernel: bool) -> tuple[Verdict, str]:
    """PASS only if something was checked and every check passed."""
    if not result.checks:
        return Verdict.INFRA, "the scenario ended without a single check: nothing was proved"
    asked = int(result.options.get("cycles", "0"))
    if result.cycles_proved < asked:
        why = f"the scenario ended after {result.cycles_proved} of {asked} cycles, without a word"
        return Verdict.INFRA, why
    gone = known.missing()
    if gone and not own_kernel:
        return Verdict.XPASS, _not_shown(gone)
    note = f"; {_does_not_show(gone)}" if gone else ""
    proved = result.properties.get("proved")  # a scenario that has no cycles says it in its words
    if not proved:
        compared = sum(
            check.compared for check in result.checks if check.oracle == "restored-memory"
        )
        proved = f"{result.cycles_proved} cycle(s) proved, {compared} restored pages equal"
    return Verdict.PASS, f"{proved}, {len(result.checks)} checks{note}"


def _failure(result: RunResult, failed: list[Check]) -> str:
    first = failed[0]
    if first.findings and first.findings[0].stage:
        # Not where the run ended: a bad image may kill the kernel much later.
        result.failed_stage = first.findings[0].stage
    more = f" (and {len(failed) - 1} more failed checks)" if len(failed) > 1 else ""
    return f"{first.name}: {_why(first)}{more}"


def _why(check: Check) -> str:
    if not check.findings:
        return check.detail
    finding = check.findings[0]
    if finding.pfn is None:
        return finding.message
    place = f"pfn {finding.pfn:#x}, GPA {finding.gpa or 0:#x}"
    return f"{finding.message}: {place} ({finding.owner or 'owner unknown'})"


def _named(defects: list[Defect]) -> str:
    return ", ".join(f"{defect.id} ({defect.page})" for defect in defects)


def _not_shown(gone: list[Defect]) -> str:
    return f"{_named(gone)} did not show: fixed upstream, or the rig went blind"


def _does_not_show(gone: list[Defect]) -> str:
    return f"this kernel does not show {_named(gone)}, which its release is known for"


def _of(death: Exception | None) -> Verdict:
    for kind, verdict in _VERDICTS:
        if isinstance(death, kind):
            return verdict
    raise AssertionError(f"no verdict for {type(death).__name__}")


def _line(death: Exception | None) -> str:
    return str(death).split("\n")[0]
