# SPDX-License-Identifier: GPL-2.0-or-later
"""kexec-plain on real kernels: nothing is kept and nothing offered, and every fault that the rig
puts in is found and blamed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scenarios.tests.run_scenario import run_scenario

from harness.jump.plain_tampers import PLAIN_TAMPERS

pytestmark = [pytest.mark.boots, pytest.mark.timeout(900)]

FULL = pytest.mark.full


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--cpus", "2"), id="6.1"),
        pytest.param(("--arch", "i386", "--acpi", "off", "--cpus", "2"), marks=FULL, id="6.1-i386"),
        pytest.param(("--acpi", "off"), marks=FULL, id="6.1-acpi-off"),
        pytest.param(("--arch", "i386"), marks=FULL, id="6.1-i386-acpi"),
        # The jump back is broken there, the way out is not.
        pytest.param(("--kernel", "6.1-stock"), marks=FULL, id="6.1-stock"),
        pytest.param(("--kernel", "5.10"), marks=FULL, id="5.10"),
        pytest.param(("--kernel", "6.12", "--cpus", "2"), marks=FULL, id="6.12"),
        pytest.param(("--kernel", "7.2", "--cpus", "2"), marks=FULL, id="7.2"),
        pytest.param(("--kernel", "7.2", "--arch", "i386"), marks=FULL, id="7.2-i386"),
        pytest.param(("--kernel", "7.3"), marks=FULL, id="7.3"),
    ],
)
def test_nothing_is_kept_and_nothing_offered(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run_scenario(tmp_path, "kexec-plain", *arguments)
    assert ran.document["verdict"] == "PASS" and ran.exit == 0, ran.summary()
    compared = {check["name"]: check["compared"] for check in ran.document["checks"]}
    memory = int(ran.document["options"]["memory"])
    # All of RAM.
    assert compared["memory at the callee's entry is the image's"] >= memory * 256
    for name in (
        "the jump's steps are those of the model",
        "registers and the word for the way back are cleared",
        "B's kernel stands at 0x1000000",
        "interrupt controllers are handed over",
        "the legacy tick can reach the callee",
        "B is offered no way back",
        "B's timer ticks",
        "all CPUs run",
    ):
        assert compared[name] > 0, compared


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "word" else FULL) for name in PLAIN_TAMPERS]
)
def test_each_fault_is_found(tmp_path: Path, name: str) -> None:
    tamper = PLAIN_TAMPERS[name]
    ran = run_scenario(tmp_path, "kexec-plain", "--cpus", "2", "--tamper", name)
    assert ran.document["verdict"] == "FAIL" and ran.exit == 1, ran.summary()
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()


@FULL
def test_a_kernel_that_forgets_the_zero_word(tmp_path: Path) -> None:
    """What lies above the stack is taken for a way back (2cacf7f23a02, mended by 786a45757dcd)."""
    ran = run_scenario(tmp_path, "kexec-plain", "--kernel", "7.2+no-zero-word")
    assert ran.document["verdict"] == "FAIL", ran.summary()
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == ("jump-cpu", "callee-entry"), ran.summary()
    assert "defect B6" in first["message"]
    assert any("way back" in finding["message"] for finding in ran.findings[1:]), ran.summary()
