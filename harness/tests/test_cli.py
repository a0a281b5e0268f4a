# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: every --help, wrong usage, and what `list` and `doctor` say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.faults.tamper import TAMPERS
from harness.kexec.tampers import KEXEC_TAMPERS
from harness.paths import TREE

pytestmark = pytest.mark.timeout(60)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *words], cwd=TREE, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "command",
    "demo,run,run hibernate-disk,list,kernel,kernel build,kernel list,kernel check,kernel prune,"
    "image,image show,image verify,image diff,report,report show,bench,doctor,test,"
    "relocate-check,sequence-check,run kexec-load".split(","),
)
def test_every_command_explains_itself(command: str) -> None:
    ran = _run(*command.split(), "--help")
    assert ran.returncode == 0, ran.stderr
    assert "Usage: jumpback" in ran.stdout
    assert len(ran.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "hibernate-disk", "--cpus", "0"], "--cpus"),
        (["run", "hibernate-disk", "--tamper", "nonsense"], "image-byte"),
        (["run", "no-such-scenario"], "no-such-scenario"),
        (["run", "hibernate-disk", "--json", "--ktap"], "stdout"),
        (["kernel", "build", "2.4"], "2.4"),
        (["kernel", "check", "/nowhere"], "/nowhere"),
        (["report", "no-such-run"], "no-such-run"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_says_what_is_wrong(words: list[str], said: str) -> None:
    ran = _run(*words)
    assert ran.returncode in (2, 9)
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_list_shows_scenarios_options_and_tampers() -> None:
    text = _run("list").stdout
    assert "hibernate-disk" in text and "--cycles" in text
    assert all(name in text for name in [*TAMPERS, *KEXEC_TAMPERS])


def test_doctor_measures_kvm_and_says_what_will_be_used() -> None:
    ran = _run("doctor", "--json")
    lines = {line["name"]: line for line in json.loads(ran.stdout)["lines"]}
    assert lines["accelerator"]["text"].startswith(("tcg: ", "kvm: "))
    assert lines["kvm"]["ok"] == lines["accelerator"]["text"].startswith("kvm: ")
    assert lines["qemu"]["ok"] and "version" in lines["qemu"]["text"]


def test_unknown_kernel_folder_is_verdict_build(tmp_path: Path) -> None:
    ran = _run(
        "run", "hibernate-disk", "--kernel", str(tmp_path), "--json", "--quiet",
        "--out", str(tmp_path / "run"), "--exit-style", "bisect",
    )  # fmt: skip
    assert json.loads(ran.stdout)["verdict"] == "BUILD"
    assert ran.returncode == 125
