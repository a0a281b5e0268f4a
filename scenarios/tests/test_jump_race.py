# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-race on real kernels: racing calls are answered as they must be, and every fault that the
rig puts in is found and blamed. The judging of answers: harness/tests/test_race_answers.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scenarios.tests.run_scenario import run_scenario

from harness.jump.race_tampers import RACE_TAMPERS

pytestmark = [pytest.mark.boots, pytest.mark.timeout(900)]

FULL = pytest.mark.full


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--rounds", "10", "--cpus", "2"), id="6.1"),
        pytest.param(("--cpus", "2"), marks=FULL, id="6.1-200-rounds"),
        pytest.param(("--rounds", "40"), marks=FULL, id="6.1-one-cpu"),
        pytest.param(
            ("--rounds", "40", "--cpus", "2", "--arch", "i386"), marks=FULL, id="6.1-i386"
        ),
        pytest.param(
            ("--rounds", "40", "--cpus", "2", "--acpi", "off"), marks=FULL, id="6.1-acpi-off"
        ),
        pytest.param(("--rounds", "40", "--cpus", "2", "--kernel", "7.2"), marks=FULL, id="7.2"),
        pytest.param(
            ("--rounds", "20", "--cpus", "4", "--loaders", "6"), marks=FULL, id="6.1-four-cpus"
        ),
    ],
)
def test_answers_are_explained_and_nothing_is_lost(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ran = run_scenario(tmp_path, "jump-race", *arguments)
    assert ran.document["verdict"] == "PASS" and ran.exit == 0, ran.summary()
    compared = {check["name"]: check["compared"] for check in ran.document["checks"]}
    for name in (
        "racing calls answer as some order of them explains",
        "a clean jump passes after the races",
        "the jump's steps are those of the model",
        "unloading gives back every frame",
        "the races cost no memory",
        "all CPUs run",
        "the kernel's log is clean",
    ):
        assert compared[name] > 0, compared
    # They did race: some were turned away, and some of each kind were not.
    told = ran.document["properties"]["proved"]
    numbers = re.search(r"(\d+) loads, (\d+) unloads, (\d+) jumps, (\d+) turned away", told)
    assert numbers is not None and all(int(number) for number in numbers.groups()), told


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "lost-image" else FULL) for name in RACE_TAMPERS],
)
def test_each_fault_is_found(tmp_path: Path, name: str) -> None:
    tamper = RACE_TAMPERS[name]
    ran = run_scenario(tmp_path, "jump-race", "--rounds", "10", "--cpus", "2", "--tamper", name)
    assert ran.document["verdict"] == "FAIL" and ran.exit == 1, ran.summary()
    assert ran.document["properties"]["tampered"]
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()


@FULL
@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_stock_kernels_die_as_known(tmp_path: Path, arch: str) -> None:
    ran = run_scenario(
        *(tmp_path, "jump-race", "--kernel", "6.1-stock", "--arch", arch, "--rounds", "10"),
    )
    assert ran.document["verdict"] == "XFAIL", ran.summary()
    assert "gdt-not-reloaded" in ran.document["reason"], ran.summary()
    # By the dead CPU, not by the death: that has other causes, too.
    first = ran.findings[0]
    assert first["oracle"] == "jump-cpu" and "gdt-not-reloaded" in first["message"], ran.summary()


@FULL
def test_a_kernel_that_locks_up_hangs(tmp_path: Path) -> None:
    """kernel_kexec() takes the mutex that reboot(2) holds already."""
    ran = run_scenario(
        *(tmp_path, "jump-race", "--kernel", "7.2+deadlock", "--cpus", "2"),
        *("--rounds", "10", "--time-scale", "0.3"),
    )
    assert ran.document["verdict"] == "HANG", ran.summary()
    assert ran.document["failed_stage"].startswith("race"), ran.summary()
