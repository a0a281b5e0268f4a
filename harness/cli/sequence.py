# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback sequence-check``: a kernel's real kernel_kexec() against the model of its order."""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import jumpback_jump
import jumpback_sequence

from harness.errors import UsageError
from harness.progress import Progress
from harness.verdict import ExitStyle, Verdict, exit_code
from harness.vmlinux_choice import choose, unfit_for

SCHEMA = "jumpback.sequence/1"

# Known faults that have a page: they are expected of the versions that have them.
FINDINGS = {"B4": "docs/findings/unwinding-label.md"}
ELSEWHERE = "docs/jump-sequence.md"


@dataclass(frozen=True)
class Judged:
    """One run of one function, with its verdict."""

    function: str  # "kernel_kexec" or "machine_kexec"
    title: str  # "jump, suspend-devices fails"
    run: jumpback_sequence.Run
    expected: jumpback_jump.Trace
    judgement: jumpback_jump.Judgement
    verdict: Verdict


@dataclass(frozen=True)
class Checked:
    """A whole kernel."""

    name: str
    vmlinux: Path
    sequence: jumpback_sequence.Sequence
    judged: list[Judged]
    verdict: Verdict
    reason: str


def _verdict(
    judgement: jumpback_jump.Judgement, strict: bool, fixed: frozenset[str] = frozenset()
) -> Verdict:
    if judgement.outcome == "match" and not judgement.violations:
        return Verdict.PASS
    known = judgement.outcome == "known-fault" and judgement.faults_known_here
    if any(_finding(fault.code) in fixed for fault in judgement.faults):
        return Verdict.FAIL
    return Verdict.XFAIL if known and not strict else Verdict.FAIL


def _finding(code: str) -> str:
    """The page of docs/findings that tells of a fault, without ".md"; "" if there is none."""
    return Path(FINDINGS.get(code, "")).stem


def check(
    name: str,
    vmlinux: Path,
    *,
    strict: bool = False,
    catalogued: bool = False,
    fixed: frozenset[str] = frozenset(),
) -> Checked:
    """Runs and judges everything. ``strict``: known faults are failures. Raises UsageError.

    ``catalogued``: a kernel whose known faults are written up, so a missing one is XPASS, but for
    those of the findings ``fixed``, which its patches mend: they are failures.
    """
    try:
        sequence = jumpback_sequence.Sequence(vmlinux)
    except jumpback_sequence.SequenceError as error:
        raise UsageError(str(error)) from error
    model = sequence.kernel
    judged = []
    for scenario in sequence.scenarios:
        run = sequence.run(scenario)
        result = jumpback_jump.judge(model, scenario, run.trace)
        expected = jumpback_jump.expected_trace(model, scenario)
        verdict = _verdict(result, strict, fixed)
        judged.append(Judged("kernel_kexec", str(scenario), run, expected, result, verdict))
    for branch in ("jump", "plain"):
        run = sequence.run_machine(branch)
        result = jumpback_jump.judge_machine(model, branch, run.trace)
        expected = jumpback_jump.expected_machine_trace(model, branch)
        judged.append(
            Judged("machine_kexec", branch, run, expected, result, _verdict(result, strict, fixed))
        )
    verdict, reason = overall(sequence.release, judged, catalogued=catalogued, fixed=fixed)
    return Checked(name, vmlinux, sequence, judged, verdict, reason)


def overall(
    release: str,
    judged: list[Judged],
    *,
    catalogued: bool,
    fixed: frozenset[str] = frozenset(),
) -> tuple[Verdict, str]:
    """The kernel's verdict and its reason; ``catalogued`` and ``fixed`` as for check()."""
    failed = [one for one in judged if one.verdict is Verdict.FAIL]
    if failed:
        first = failed[0]
        return Verdict.FAIL, f"{first.function}, {first.title}: {first.judgement.text}"
    shown = {fault.code for one in judged for fault in one.judgement.faults}
    if catalogued:
        for fault in jumpback_jump.known_faults():
            if _finding(fault.code) in fixed | {""}:
                continue
            if fault.known_in(release) and fault.code not in shown:
                return Verdict.XPASS, (
                    f"the {fault.name} ({fault.code}) did not show, though {release} is known to "
                    f"have it: {FINDINGS[fault.code]}"
                )
    if shown:
        pages = ", ".join(f"{code}: {FINDINGS.get(code, ELSEWHERE)}" for code in sorted(shown))
        return (
            Verdict.XFAIL,
            f"in all scenarios as a correct kernel, but for known faults ({pages})",
        )
    return Verdict.PASS, f"all {len(judged)} runs as a correct kernel"


def _step_text(step: jumpback_jump.TraceStep) -> str:
    name = f"{step.symbol}()" if step.step == "other" else step.step
    text = f"{name} ({step.symbol})" if step.symbol and step.step != "other" else name
    return f"{text} = {step.result}" if step.result else text


def _key(step: jumpback_jump.TraceStep) -> tuple[str, int, int | None, str]:
    unknown = step.symbol if step.step == "other" else ""
    return step.step, step.result, step.argument, unknown


def _table(one: Judged) -> list[str]:
    """Both traces side by side, the same steps in one line."""
    wanted, found = one.expected.steps, one.run.trace.steps
    rows: list[tuple[str, str, str]] = []
    matcher = difflib.SequenceMatcher(
        None, [_key(step) for step in wanted], [_key(step) for step in found], autojunk=False
    )
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        for index in range(max(a_end - a, b_end - b)):
            left = _step_text(wanted[a + index]) if a + index < a_end else ""
            right = _step_text(found[b + index]) if b + index < b_end else ""
            rows.append((" " if kind == "equal" else "*", left, right))
    ends = [
        "does not return" if trace.returned is None else f"returns {trace.returned}"
        for trace in (one.expected, one.run.trace)
    ]
    rows.append((" " if ends[0] == ends[1] else "*", ends[0], ends[1]))
    width = max(len(left) for _, left, _ in rows)
    lines = [f"      {'a correct kernel':<{width}}  this one"]
    return lines + [f"    {mark} {left:<{width}}  {right}".rstrip() for mark, left, right in rows]


def _print(checked: Checked, all_steps: bool) -> None:
    sequence = checked.sequence
    byte, bit = sequence.preserve_bit
    click.echo(f"{checked.name}: {sequence.release}, {sequence.kernel.arch}, {checked.vmlinux}")
    click.echo(f"image->preserve_context: byte {byte:#x}, bit {bit} of struct kimage")
    if sequence.kernel.left_out:
        click.echo(f"not in this configuration: {', '.join(sequence.kernel.left_out)}")
    function = ""
    for one in checked.judged:
        if one.function != function:
            function = one.function
            click.echo(f"\n{function}()")
        click.echo(f"  {one.verdict.value:<5}  {one.title}")
        if one.verdict is Verdict.PASS:
            if all_steps:
                click.echo("\n".join(_table(one)))
            continue
        click.echo(f"         {one.judgement.text}")
        for fault in one.judgement.faults:
            click.echo(f"         see {FINDINGS.get(fault.code, ELSEWHERE)}")
        for text in [one.run.stopped, *one.judgement.undone]:
            if text and text not in one.judgement.text:
                click.echo(f"         {text}")
        click.echo("\n".join(_table(one)))
    click.echo(f"\n{checked.verdict.value}: {checked.reason}")


def _steps_json(trace: jumpback_jump.Trace) -> dict[str, Any]:
    steps = [
        {
            "step": step.step,
            "symbol": step.symbol or None,
            "result": step.result,
            "argument": step.argument,
        }
        for step in trace.steps
    ]
    return {"steps": steps, "returned": trace.returned}


def _run_json(one: Judged) -> dict[str, Any]:
    divergence = one.judgement.divergence
    return {
        "function": one.function,
        "scenario": one.title,
        "verdict": one.verdict.value,
        "text": one.judgement.text,
        "faults": [
            {
                "code": fault.code,
                "name": fault.name,
                "title": fault.title,
                "fixed": fault.fixed,
                "commit": fault.commit,
                "page": FINDINGS.get(fault.code, ELSEWHERE),
            }
            for fault in one.judgement.faults
        ],
        "divergence": None
        if divergence is None
        else {
            "kind": divergence.kind,
            "position": divergence.position,
            "expected": divergence.expected,
            "found": divergence.found,
        },
        "undone": one.judgement.undone,
        "broken_rules": [violation.text for violation in one.judgement.violations],
        "stopped": one.run.stopped or None,
        "expected": _steps_json(one.expected),
        "found": _steps_json(one.run.trace),
    }


def to_json(checked: Checked) -> dict[str, Any]:
    sequence = checked.sequence
    byte, bit = sequence.preserve_bit
    return {
        "schema": SCHEMA,
        "kernel": {
            "name": checked.name,
            "release": sequence.release,
            "arch": sequence.kernel.arch,
            "vmlinux": str(checked.vmlinux),
            "left_out": sequence.kernel.left_out,
            "preserve_context": {"byte": byte, "bit": bit},
        },
        "verdict": checked.verdict.value,
        "reason": checked.reason,
        "runs": [_run_json(one) for one in checked.judged],
    }


@click.command("sequence-check")
@click.argument("vmlinux", metavar="VMLINUX|VERSION")
@click.option(
    "--arch",
    type=click.Choice(["x86_64", "i386"]),
    default="x86_64",
    show_default=True,
    help="Of a kernel of the catalogue.",
)
@click.option("--steps", is_flag=True, help="Print the steps of the runs that pass, too.")
@click.option("--strict", is_flag=True, help="A known fault is a failure, as for a bisection.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option(
    "--exit-style",
    type=click.Choice([style.value for style in ExitStyle]),
    default=ExitStyle.PLAIN.value,
    show_default=True,
    help="Who reads the exit code: a shell, kselftest, or git bisect run.",
)
def sequence_check(
    vmlinux: str, arch: str, steps: bool, strict: bool, as_json: bool, exit_style: str
) -> None:
    """Check the order in which a kernel goes into a kexec jump and comes back.

    Takes kernel_kexec() and machine_kexec() out of vmlinux, runs them on an emulated CPU once for
    each step that can fail, with every call answered by script, and compares with what a correct
    kernel of that version does. No kernel is booted; it takes well under a second.

    \b
    jumpback sequence-check 6.1-stock             as Debian ships it: XFAIL
    jumpback sequence-check ~/src/linux           a build tree, or its vmlinux
    git bisect run sh -c 'make -j"$(nproc)" vmlinux || exit 125
        exec /path/to/jumpback sequence-check --strict --exit-style bisect .'

    Exit codes: 0 as a correct kernel, or wrong as it is known to be (XFAIL); 1 wrong otherwise;
    2 no such file, or one without kexec jump; 3 a known fault of a stock kernel (6.1-stock) did not
    show; 9 no such kernel in the catalogue. For git bisect 2 of a file and 9 are 125: skip
    (docs/exit-codes.md).
    """
    style = ExitStyle(exit_style)
    with unfit_for(style):
        with Progress() as progress:
            choice = choose(vmlinux, arch, progress)
        checked = check(
            choice.name,
            choice.vmlinux,
            strict=strict,
            catalogued=choice.catalogued,
            fixed=choice.fixed,
        )
    if as_json:
        click.echo(json.dumps(to_json(checked), indent=2))
    else:
        _print(checked, steps)
    sys.exit(exit_code(checked.verdict, style, target_reached=True))
