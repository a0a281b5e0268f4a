# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions, checks and verdicts: no death may be taken for another."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import kernel
from harness import known, runner
from harness.context import RunContext, RunOptions
from harness.errors import (
    BuildError,
    GuestHang,
    GuestPanic,
    InfraError,
    LostMachine,
    SkipError,
    UsageError,
)
from harness.guest_image import GuestImage
from harness.known import Defect, Meets, Sign, Stand
from harness.machine import UnexpectedEnd
from harness.machine.events import TripleFault
from harness.progress import Progress
from harness.results import Check, Finding, RunResult
from harness.scenario import Scenario, ScenarioOption
from harness.verdict import Verdict
from kernel import KernelUnderTest
from kernel.errors import KernelBuildError, PackageError
from reports import json_report

pytestmark = pytest.mark.timeout(20)

Story = Callable[[RunContext, Mapping[str, Any]], None]


class _NoSymbols:
    arch = "x86_64"

    def __init__(self, _: Path) -> None:
        pass


@pytest.fixture
def tested(tmp_path: Path) -> list[KernelUnderTest]:
    """The kernel that ``play`` runs on."""
    return [
        KernelUnderTest("6.1", "6.1", "x86_64", "6.1.0-test", tmp_path, tmp_path, None, "", "", ())
    ]


@pytest.fixture
def play(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tested: list[KernelUnderTest]
) -> Callable[..., RunResult]:
    """Runs a story through the real runner; only kernel and guest are not built."""
    monkeypatch.setattr(kernel, "resolve", lambda *_, **__: tested[0])
    monkeypatch.setattr(
        runner, "build_guest", lambda *_, **__: GuestImage(tmp_path, "key", "x86_64", 1)
    )
    monkeypatch.setattr(runner, "Symbols", _NoSymbols)

    def run(story: Story, tamper: str = "", **options: Any) -> RunResult:
        scenario = Scenario("test-story", "", "", story, (ScenarioOption("size", "", 3),))
        common = RunOptions(accel="tcg", out=tmp_path / "run", **options)
        chosen = {"size": 3, "tamper": tamper}
        return runner.run_scenario(scenario, common, chosen, Progress(quiet=True))

    return run


def _check(passed: bool) -> Check:
    findings = [] if passed else [Finding("coverage", "snapshot", "page is missing", pfn=0x10)]
    return Check("pages", "coverage", passed, findings=findings)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (GuestPanic("oops"), Verdict.PANIC),
        (GuestHang("slow"), Verdict.HANG),
        (UnexpectedEnd("triple fault", TripleFault(1.0)), Verdict.FAIL),
        (SkipError("no lz4"), Verdict.SKIP),
        (BuildError("no symbols"), Verdict.BUILD),
        (PackageError("mirror"), Verdict.BUILD),
        (KernelBuildError("make", Path("log"), ["cc: error"]), Verdict.BUILD),
        (InfraError("disk full"), Verdict.INFRA),
        (LostMachine("killed"), Verdict.INFRA),
        (ZeroDivisionError("a bug of ours"), Verdict.INFRA),
    ],
)
def test_errors_become_verdicts(
    play: Callable[..., RunResult], error: Exception, verdict: Verdict
) -> None:
    def story(_: RunContext, __: Mapping[str, Any]) -> None:
        raise error

    result = play(story)
    assert result.verdict is verdict
    assert str(error).split("\n")[0] in result.reason
    assert json_report.read(result.folder / "result.json").verdict is verdict
    assert (result.folder / "report.html").exists()


def test_a_bug_of_the_rig_leaves_its_traceback(play: Callable[..., RunResult]) -> None:
    def story(_: RunContext, __: Mapping[str, Any]) -> None:
        raise ZeroDivisionError("a bug of ours")

    assert "ZeroDivisionError" in (play(story).folder / "traceback.txt").read_text()


def test_all_checks_good_is_pass(play: Callable[..., RunResult]) -> None:
    result = play(lambda context, _: context.result.checks.append(_check(True)))
    assert result.verdict is Verdict.PASS


def test_a_scenario_without_cycles_says_what_it_proved(play: Callable[..., RunResult]) -> None:
    def story(context: RunContext, _: Mapping[str, Any]) -> None:
        context.result.properties["proved"] = "12 calls"
        context.result.checks.append(_check(True))

    assert play(story).reason == "12 calls, 1 checks"


def test_no_check_at_all_is_never_pass(play: Callable[..., RunResult]) -> None:
    result = play(lambda *_: None)
    assert result.verdict is Verdict.INFRA
    assert "nothing was proved" in result.reason


def test_one_failed_check_is_fail_and_names_the_page(play: Callable[..., RunResult]) -> None:
    def story(context: RunContext, _: Mapping[str, Any]) -> None:
        context.record(_check(True))
        context.record(_check(False))

    result = play(story)
    assert result.verdict is Verdict.FAIL
    assert result.failed_stage == "snapshot"
    assert "pfn 0x10" in result.reason


@pytest.mark.parametrize("later", [GuestPanic("then it died"), InfraError("agent silent")])
def test_what_comes_of_a_failed_proof_does_not_hide_it(
    play: Callable[..., RunResult], later: Exception
) -> None:
    def story(context: RunContext, _: Mapping[str, Any]) -> None:
        context.record(_check(False))
        raise later

    result = play(story)
    assert result.verdict is Verdict.FAIL
    assert str(later) in result.reason


PAGE = "docs/findings/label.md"


@pytest.fixture
def label(monkeypatch: pytest.MonkeyPatch) -> Defect:
    """A made-up defect of 6.1 in place of the table: it shows in a check and by a silent agent."""
    defect = Defect(
        "label",
        "devices stay suspended",
        {"x86_64": Stand((2, 6), (6, 17))},
        (
            Sign("^devices$", "^suspend$", r"^\d+ stay suspended"),
            Sign("^life$", "", "silent", follows=True),
        ),
        {"test-story": lambda chosen: Meets.MUST if chosen["size"] == 3 else Meets.NEVER},
        fatal=True,
    )
    monkeypatch.setattr(known, "KNOWN", (defect,))
    return defect


def _suspended(also: str = "") -> Check:
    messages = ["87 stay suspended", *([also] if also else [])]
    found = [Finding("devices", "suspend", message) for message in messages]
    return Check("devices resume", "devices", False, findings=found)


def _story(*checks: Check, death: Exception | None = None) -> Story:
    def story(context: RunContext, _: Mapping[str, Any]) -> None:
        for check in checks:
            context.record(check)
        if death is not None:
            raise death

    return story


@pytest.mark.usefixtures("label")
def test_a_failure_that_is_known_is_xfail_with_its_page(play: Callable[..., RunResult]) -> None:
    result = play(_story(_check(True), _suspended()))
    assert result.verdict is Verdict.XFAIL
    assert PAGE in result.reason and "87 stay suspended" in result.reason
    assert result.failed_stage == "suspend"
    assert [(known.id, known.page, known.shown) for known in result.known_defects] == [
        ("label", PAGE, True)
    ]
    assert result.checks[-1].known == ["label"]
    assert json_report.read(result.folder / "result.json") == result


@pytest.mark.usefixtures("label")
@pytest.mark.parametrize(
    "checks", [[_suspended(), _check(False)], [_suspended("one page lost")], [_check(False)]]
)
def test_one_failure_that_is_not_known_is_fail(
    play: Callable[..., RunResult], checks: list[Check]
) -> None:
    result = play(_story(*checks))
    assert result.verdict is Verdict.FAIL
    shown = any(check.name == "devices resume" for check in checks)
    assert (f"besides, as known: label ({PAGE})" in result.reason) == shown
    new = "pages: page is missing" if len(checks) != 1 or not shown else "devices resume: 87"
    assert result.reason.startswith(new)


@pytest.mark.usefixtures("label")
def test_a_kernel_of_a_release_without_the_defect_fails(
    play: Callable[..., RunResult], tested: list[KernelUnderTest]
) -> None:
    tested[0] = replace(tested[0], release="7.2.13", version="7.2")
    result = play(_story(_suspended()))
    assert (result.verdict, result.known_defects) == (Verdict.FAIL, [])


@pytest.mark.usefixtures("label")
def test_a_defect_that_did_not_show_is_xpass(play: Callable[..., RunResult]) -> None:
    result = play(_story(_check(True)))
    assert result.verdict is Verdict.XPASS
    assert f"label ({PAGE}) did not show: fixed upstream, or the rig went blind" in result.reason
    assert [known.shown for known in result.known_defects] == [False]


@pytest.mark.usefixtures("label")
def test_a_strict_run_fails_by_a_defect_and_passes_without(play: Callable[..., RunResult]) -> None:
    result = play(_story(_suspended()), strict=True)
    assert (result.verdict, result.known_defects) == (Verdict.FAIL, [])
    assert result.checks[-1].known == [] and "known" not in result.reason
    assert "--strict" in shlex.split(result.command)


@pytest.mark.usefixtures("label")
def test_a_strict_run_that_shows_no_defect_is_pass(play: Callable[..., RunResult]) -> None:
    assert play(_story(_check(True)), strict=True).verdict is Verdict.PASS


@pytest.mark.usefixtures("label")
def test_a_run_that_does_not_run_into_it_is_pass(
    play: Callable[..., RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(known.KNOWN[0], scenarios={"other-story": lambda _: Meets.MUST})
    monkeypatch.setattr(known, "KNOWN", (elsewhere,))
    result = play(_story(_check(True)))
    assert (result.verdict, result.known_defects) == (Verdict.PASS, [])


@pytest.mark.usefixtures("label")
def test_the_users_own_kernel_may_be_fixed(play: Callable[..., RunResult], tmp_path: Path) -> None:
    result = play(_story(_check(True)), kernel=f"{tmp_path}/linux")
    assert result.verdict is Verdict.PASS
    assert f"this kernel does not show label ({PAGE})" in result.reason
    assert [known.shown for known in result.known_defects] == [False]


@pytest.mark.usefixtures("label")
def test_the_users_own_kernel_has_what_its_release_has(
    play: Callable[..., RunResult], tmp_path: Path
) -> None:
    result = play(_story(_suspended()), kernel=f"{tmp_path}/linux")
    assert result.verdict is Verdict.XFAIL


@pytest.mark.usefixtures("label")
@pytest.mark.parametrize(
    ("death", "verdict"),
    [
        (GuestHang("the agent is silent"), Verdict.XFAIL),
        (GuestHang("too slow"), Verdict.HANG),
        (GuestPanic("oops"), Verdict.PANIC),
        (UnexpectedEnd("triple fault", TripleFault(1.0)), Verdict.FAIL),
        (InfraError("the agent is silent"), Verdict.INFRA),
        (ZeroDivisionError("silent"), Verdict.INFRA),
    ],
)
def test_what_comes_of_a_known_failure_is_judged_by_itself(
    play: Callable[..., RunResult], death: Exception, verdict: Verdict
) -> None:
    result = play(_story(_suspended(), death=death))
    assert result.verdict is verdict
    assert PAGE in result.reason
    if verdict is not Verdict.XFAIL:
        assert str(death) in result.reason and "besides, as known" in result.reason


@pytest.mark.usefixtures("label")
def test_a_death_before_the_defect_could_show_is_no_xpass(play: Callable[..., RunResult]) -> None:
    assert play(_story(_check(True), death=GuestHang("silent"))).verdict is Verdict.HANG


def test_ctrl_c_is_written_down_and_passed_on(
    play: Callable[..., RunResult], tmp_path: Path
) -> None:
    def story(_: RunContext, __: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(story)
    assert json_report.read(tmp_path / "run" / "result.json").reason == "interrupted"


def test_wrong_usage_leaves_no_run(play: Callable[..., RunResult], tmp_path: Path) -> None:
    def story(_: RunContext, __: Mapping[str, Any]) -> None:
        raise UsageError("--mem-max is too small")

    with pytest.raises(UsageError, match="too small"):
        play(story)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match="too small"):
        play(story)
    assert (tmp_path / "run").exists()  # the user's own


def test_a_fault_that_nothing_finds_is_never_pass(play: Callable[..., RunResult]) -> None:
    result = play(_story(_check(True)), tamper="flip")
    assert result.verdict is Verdict.XPASS
    assert result.reason == "the fault flip was put in, and nothing found it"


def test_a_used_run_folder_is_refused(play: Callable[..., RunResult]) -> None:
    def story(context: RunContext, _: Mapping[str, Any]) -> None:
        context.record(_check(True))

    play(story)
    with pytest.raises(UsageError, match="not empty"):
        play(story)


def test_the_reproducing_command_names_what_differs_and_the_seed() -> None:
    options = (ScenarioOption("cycles", "", 1), ScenarioOption("load", "", "none"))
    scenario = Scenario("story", "", "", lambda *_: None, options)
    command = runner.reproduce_command(
        scenario,
        RunOptions(cpus=2, append="a b"),
        {"cycles": 20, "load": "none"},
        seed=7,
    )
    words = shlex.split(command)
    assert words[:3] == ["./jumpback", "run", "story"]
    pairs = list(zip(words, words[1:]))
    for pair in (("--cpus", "2"), ("--append", "a b"), ("--cycles", "20"), ("--seed", "7")):
        assert pair in pairs
    assert not {"--load", "--memory", "--strict"} & set(words)


def test_parallel_runs_get_folders_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUMPBACK_RUNS", str(tmp_path))
    folders = {runner._new_run_folder(None, "story") for _ in range(20)}
    assert len(folders) == 20
