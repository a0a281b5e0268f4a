# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-pingpong on real kernels: two of them take turns, and a fault in the last turn is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenarios.tests.run_scenario import Ran, run_scenario

from harness.jump.tampers import PINGPONG_TAMPERS

pytestmark = [pytest.mark.boots, pytest.mark.timeout(900)]

FULL = pytest.mark.full


def pingpong(folder: Path, *arguments: str) -> Ran:
    return run_scenario(folder, "jump-pingpong", *arguments)


@pytest.mark.parametrize(
    ("switches", "arguments"),
    [
        pytest.param(20, (), id="6.1"),
        pytest.param(100, ("--cpus", "2"), marks=FULL, id="6.1-smp"),
        pytest.param(100, ("--arch", "i386"), marks=FULL, id="6.1-i386"),
        pytest.param(100, ("--console", "suspended"), marks=FULL, id="6.1-console-suspended"),
        pytest.param(100, ("--kernel", "7.2"), marks=FULL, id="7.2"),
        pytest.param(50, ("--kernel", "6.12", "--acpi", "off"), marks=FULL, id="6.12-acpi-off"),
        # A debug kernel takes its time; its log has to stay clean, too.
        pytest.param(
            *(30, ("--kernel", "6.1-lockdep", "--time-scale", "3")), marks=FULL, id="6.1-lockdep"
        ),
        pytest.param(100, ("--kernel", "6.1-voluntary"), marks=FULL, id="6.1-voluntary"),
        pytest.param(100, ("--kernel", "6.1-preempt"), marks=FULL, id="6.1-preempt"),
        pytest.param(50, ("--kernel", "7.2-preempt"), marks=FULL, id="7.2-preempt"),
    ],
)
def test_two_kernels_take_turns(tmp_path: Path, switches: int, arguments: tuple[str, ...]) -> None:
    ran = pingpong(tmp_path, "--switches", str(switches), *arguments)
    assert ran.document["verdict"] == "PASS", ran.summary()
    names = [check["name"] for check in ran.document["checks"]]
    # The first jump boots B; each switch after it is proved at its callee's entry.
    entries = [name for name in names if name.startswith("memory at the callee's entry")]
    assert len(entries) == switches + 1
    assert names.count("the jump's steps are those of the model") == switches
    for role in "AB":
        assert f"{role}'s counter goes on" in names
        # Of few turns nothing is said.
        judged = switches >= 48
        assert (f"{role}'s memory use is flat" in names) == judged
        assert (f"memory_of_{role}" in ran.document["properties"]) != judged
    # Every ninth switch, and the last two.
    looks = len(
        {number for number in range(1, switches + 1) if number % 9 == 0 or number > switches - 2}
    )
    for name in ("nonces of A are there", "workloads went on", "all CPUs run"):
        assert names.count(name) == looks
    assert len(ran.document["lives"]) == 1
    console = (ran.folder / ran.document["lives"][0]["console_log"]).read_text(errors="replace")
    assert console.count("Run /init as init process") == 2  # A's boot and B's, no third one


@pytest.mark.parametrize("name", [pytest.param(name, marks=FULL) for name in PINGPONG_TAMPERS])
def test_a_fault_in_the_last_switch_is_found(tmp_path: Path, name: str) -> None:
    tamper = PINGPONG_TAMPERS[name]
    ran = pingpong(tmp_path, "--switches", "3", "--tamper", name)
    assert ran.document["verdict"] == tamper.verdict.value, ran.summary()
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()
