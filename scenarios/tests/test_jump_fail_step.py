# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-fail-step on running kernels: what upstream unwinds, what it does not, and each check finds
the fault that is put in for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from scenarios.jump_fail_step import STEPS
from scenarios.tests.run_scenario import Ran, run_scenario

from harness.jump.fail_inject import STEPS as INJECTED
from harness.jump.fail_tampers import FAIL_TAMPERS
from harness.paths import TREE

# A run takes 5 to 10 s on an idle machine; others may want it at the same time.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(600)]

FailStep = Callable[..., Ran]

# How often each check of a whole run is made: at each step, and in the clean jump.
REFUSED, CLEAN = len(STEPS), 1
CHECKS = {
    "the jump's steps are those of the model": REFUSED + CLEAN,
    "no device is left suspended": REFUSED,
    "the kernel's switches are as before": REFUSED,
    "reboot() returns the step's error": REFUSED + CLEAN,
    "all CPUs run": REFUSED + CLEAN,
    "workloads went on": REFUSED + CLEAN,
    "the disk is written and read back": REFUSED + CLEAN,
    "timers fired": REFUSED + CLEAN,
    "the console works": REFUSED + CLEAN,
    "the lock is free: an image can be loaded": REFUSED + CLEAN,
    "the kernel's log is clean": REFUSED + CLEAN,
    "memory at A's return is that of its departure": CLEAN,
    "registers at A's return": CLEAN,
}

UNWINDING = "unwinding-label"


@pytest.fixture(name="fail_step")
def _fail_step(tmp_path: Path) -> FailStep:
    return lambda *arguments: run_scenario(tmp_path, "jump-fail-step", *arguments)


def _all_proved(ran: Ran, checks: dict[str, int]) -> None:
    assert ran.document["verdict"] == "PASS" and ran.exit == 0, ran.summary()
    made, compared = Counter[str](), Counter[str]()
    for check in ran.document["checks"]:
        made[check["name"]] += 1
        compared[check["name"]] += check["compared"]
    assert {name: made[name] for name in checks} == checks, made
    assert all(compared[name] > 0 for name in checks), compared
    assert not (ran.folder / "disk.raw").exists()


def test_the_steps_of_the_option_are_those_that_can_be_injected() -> None:
    assert STEPS == tuple(INJECTED)


def test_the_page_says_how_each_step_fails() -> None:
    text = (TREE / "docs" / "jump-sequence.md").read_text()
    for name, step in INJECTED.items():
        assert f"| {name} | {step.how.value} |" in text
    for name, tamper in FAIL_TAMPERS.items():
        assert f"| {name} | {tamper.step} | {tamper.oracle} |" in text


def test_each_step_of_a_mended_kernel_unwinds(fail_step: FailStep) -> None:
    _all_proved(fail_step("--cpus", "2"), CHECKS)


@pytest.mark.full
@pytest.mark.parametrize(
    "words",
    [
        "--cpus 1",
        "--arch i386 --cpus 2",
        "--arch i386 --cpus 1",
        "--cpus 2 --acpi off",
        "--arch i386 --cpus 2 --acpi off",
        "--cpus 2 --append no_console_suspend",
        "--kernel 5.10 --cpus 2",
        "--kernel 6.12 --cpus 2",
        "--kernel 7.2 --cpus 2",
        "--kernel 7.2 --cpus 1",
        "--kernel 7.2-stock --cpus 2",
        "--kernel 7.3 --cpus 2",
    ],
)
def test_each_step_unwinds_on_others(fail_step: FailStep, words: str) -> None:
    _all_proved(fail_step(*words.split()), CHECKS)


def _is_the_bug(ran: Ran, verdict: str, code: int, step: str = "suspend-devices") -> None:
    assert (ran.document["verdict"], ran.exit) == (verdict, code), ran.summary()
    assert ran.document["failed_stage"] == "suspend-devices"
    found = {(finding["oracle"], finding["stage"]) for finding in ran.findings}
    both = {("jump-trace", "suspend-devices"), ("devices", step)}
    assert both <= found, ran.summary()
    left = next(each["message"] for each in ran.findings if each["oracle"] == "devices")
    assert int(left.split()[0]) > 10  # devices


def test_a_stock_kernel_leaves_devices_suspended_as_known(fail_step: FailStep) -> None:
    ran = fail_step("--kernel", "6.1-stock", "--step", "suspend-devices")
    _is_the_bug(ran, "XFAIL", 0)
    assert [known["id"] for known in ran.document["known_defects"] if known["shown"]] == [UNWINDING]
    assert f"docs/findings/{UNWINDING}.md" in ran.document["reason"]


@pytest.mark.full
@pytest.mark.parametrize(
    "words",
    ["--kernel 6.1-stock --arch i386 --cpus 2", "--kernel 6.12-stock", "--kernel 5.10-stock"],
)
def test_other_stock_kernels_do_so_too_and_unwind_the_rest(fail_step: FailStep, words: str) -> None:
    ran = fail_step(*words.split())
    _is_the_bug(ran, "XFAIL", 0, "refusing-device")
    before = [check for check in ran.document["checks"] if check["name"] == "all CPUs run"]
    assert len(before) == REFUSED - 2  # a refusing device and dpm_suspend_start() come last


@pytest.mark.full
@pytest.mark.parametrize(
    "words", ["--kernel 7.2+unwinding-label", "--kernel 6.1+unwinding-label --arch i386"]
)
def test_the_bug_put_back_is_found(fail_step: FailStep, words: str) -> None:
    ran = fail_step(*words.split(), "--step", "suspend-devices")
    _is_the_bug(ran, "FAIL", 1)
    assert ran.document["known_defects"] == []


# The others run with --all; this is seen at every run.
USUAL = ("device-suspended",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in USUAL else [pytest.mark.full])
        for name in FAIL_TAMPERS
    ],
)
def test_each_check_finds_the_fault_put_in_for_it(fail_step: FailStep, name: str) -> None:
    tamper = FAIL_TAMPERS[name]
    ran = fail_step("--tamper", name, "--cpus", str(tamper.cpus))
    assert ran.document["verdict"] == tamper.verdict.value and ran.exit == 1, ran.summary()
    failed = next(check for check in ran.document["checks"] if not check["passed"])
    assert failed["name"].startswith(tamper.check), ran.summary()
    first = failed["findings"][0]
    assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.step), ran.summary()
    assert ran.document["properties"]["tampered"], ran.summary()


def test_a_fault_that_the_machine_has_no_place_for_is_refused(tmp_path: Path) -> None:
    for words, said in (
        (["--tamper", "cpu-offline"], "--cpus 2"),
        (["--tamper", "log", "--step", "disable-cpus"], "--step take-lock"),
    ):
        answer = subprocess.run(
            [sys.executable, "-m", "harness", "run", "jump-fail-step", "--quiet", *words]
            + ["--out", str(tmp_path / words[1])],
            cwd=TREE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 2 and said in answer.stderr, answer.stderr
