# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-kernel on real kernels: there and back is proved, stock kernels fail as known, and every
fault that the rig puts in is found and blamed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scenarios.tests.run_scenario import Ran, run_scenario

from harness.paths import TREE
from harness.jump.tampers import JUMP_TAMPERS

pytestmark = [pytest.mark.boots, pytest.mark.timeout(600)]

FULL = pytest.mark.full
# Of every run: a byte at each of the three stops, and one that only a whole comparison sees.
_ALWAYS = {"entry-byte", "stray-write", "image-page", "register"}


def jump_kernel(folder: Path, *arguments: str) -> Ran:
    return run_scenario(folder, "jump-kernel", *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--cpus", "2", "--trips", "2"), id="6.1-smp"),
        pytest.param(("--arch", "i386"), id="6.1-i386"),
        # Without ACPI a busy host may show docs/findings/stale-calibration-handler.md.
        pytest.param(
            ("--arch", "i386", "--acpi", "off", "--append", "nolapic_timer"),
            marks=FULL,
            id="6.1-i386-acpi-off",
        ),
        pytest.param(("--acpi", "off"), marks=FULL, id="6.1-acpi-off"),
        pytest.param(("--arch", "i386", "--cpus", "2"), marks=FULL, id="6.1-i386-smp"),
        pytest.param(("--cpus", "2", "--acpi", "off"), marks=FULL, id="6.1-smp-acpi-off"),
        pytest.param(("--console", "suspended"), marks=FULL, id="6.1-console-suspended"),
        pytest.param(("--memory", "512", "--mem-max", "0x7ffffff"), marks=FULL, id="6.1-128M"),
        pytest.param(
            ("--memory", "512", "--mem-min", "0x6000000", "--mem-max", "0xbffffff"),
            marks=FULL,
            id="6.1-window-elsewhere",
        ),
        pytest.param(("--kernel", "5.10"), marks=FULL, id="5.10"),
        pytest.param(("--kernel", "6.12", "--cpus", "2"), marks=FULL, id="6.12-smp"),
        pytest.param(("--kernel", "7.2", "--cpus", "2"), marks=FULL, id="7.2-smp"),
        pytest.param(("--kernel", "7.3"), marks=FULL, id="7.3"),
    ],
)
def test_there_and_back_is_proved(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = jump_kernel(tmp_path, *arguments)
    assert ran.document["verdict"] == "PASS", ran.summary()
    assert ran.exit == 0
    proved = {check["name"]: check["compared"] for check in ran.document["checks"]}
    pages = ran.document["options"]["memory"]
    # All of RAM, the hole below 1 MiB included, at B's entry.
    assert proved["memory at the callee's entry is A's, pages swapped"] == int(pages) * 256
    assert proved["the jump's steps are those of the model"] >= 25
    for name in ("B reads A's memory", "A's timer ticks", "B's timer ticks", "all CPUs run"):
        assert name in proved
    rules = {rule["name"] for check in ran.document["checks"] for rule in check["rules"]}
    assert rules <= {
        *("swap-page", "control-stack", "saved-words", "caller-stack", "callee-stack"),
        *("table-bits", "debug-gdt"),
    }


@pytest.mark.full
def test_a_run_that_is_restored_is_proved_as_one_that_boots(tmp_path: Path) -> None:
    runs = [jump_kernel(tmp_path, "--boot-once") for _ in range(2)]
    for ran in runs:
        assert ran.document["verdict"] == "PASS", ran.summary()
    stages = [stage["name"] for stage in runs[1].document["lives"][0]["stages"]]
    assert "restore" in stages and "boot" not in stages
    names = [{check["name"] for check in ran.document["checks"]} for ran in runs]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("arch", "finding"),
    [("x86_64", "jump-back-entry-unmapped"), ("i386", "gdt-not-reloaded")],
)
def test_a_stock_kernel_fails_as_known(tmp_path: Path, arch: str, finding: str) -> None:
    ran = jump_kernel(tmp_path, "--kernel", "6.1-stock", "--arch", arch)
    assert ran.document["verdict"] == "XFAIL", ran.summary()
    assert ran.exit == 0
    assert f"docs/findings/{finding}.md" in ran.document["reason"]
    assert ran.document["lives"][0]["outcome"] == "triple fault"


@pytest.mark.parametrize(
    "name",
    [name if name in _ALWAYS else pytest.param(name, marks=FULL) for name in JUMP_TAMPERS],
)
def test_a_fault_is_found_and_blamed(tmp_path: Path, name: str) -> None:
    tamper = JUMP_TAMPERS[name]
    ran = jump_kernel(tmp_path, "--tamper", name)
    assert ran.document["verdict"] == tamper.verdict.value, ran.summary()
    assert ran.exit != 0
    assert ran.document["properties"].get("tampered") or tamper.acts_by_configuration
    assert ran.document["failed_stage"].startswith(tamper.stage), ran.summary()
    if tamper.oracle:
        first = ran.findings[0]
        assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()
    if name.endswith("-byte") or name == "image-page":
        assert f"{first['gpa']:#x}" in ran.document["properties"]["tampered"]
        assert first["differing_bytes"] == 1
    assert "--tamper" in ran.document["command"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mem-max", "0x1ffffff"), "is too small: this kernel needs"),
        (("--mem-max", "0x9ffffff"), "more than half of A's RAM"),
        (("--mem-max", "3G"), "addresses such as 0x3ffffff were expected"),
        (("--mem-min", "0x1000"), "a range of whole pages above 1 MiB"),
    ],
)
def test_a_window_that_does_not_fit_is_refused_before_a_boot(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "harness", "run", "jump-kernel", *arguments, "--quiet"]
        + ["--out", str(tmp_path / "run")],
        cwd=TREE,
        env={**os.environ, "PYTHONPATH": f"{TREE / 'build' / 'release'}:{TREE}"},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 2
    assert words in " ".join(answer.stderr.split())
    assert not (tmp_path / "run").exists()
