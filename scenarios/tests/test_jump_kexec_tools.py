# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-kernel with Debian's kexec-tools in both kernels: what it does to A is found, all of it, and
is known; the jump itself is right.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scenarios.tests.run_scenario import run_scenario

pytestmark = [pytest.mark.boots, pytest.mark.full, pytest.mark.timeout(600)]

LOW_MEMORY, NO_VMCORE = "kexec-tools-low-memory", "kexec-tools-no-vmcore"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--cpus", "2"), id="6.1-smp"),
        pytest.param(("--arch", "i386"), id="6.1-i386"),
        pytest.param(("--kernel", "6.12"), id="6.12"),
        pytest.param(("--kernel", "7.2"), id="7.2"),
    ],
)
def test_it_jumps_and_writes_over_low_memory(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = run_scenario(tmp_path, "jump-kernel", "--loader", "kexec-tools", *arguments)
    assert ran.document["verdict"] == "XFAIL", ran.summary()
    assert ran.exit == 0
    for name in (LOW_MEMORY, NO_VMCORE):
        assert f"docs/findings/{name}.md" in ran.document["reason"]
    changed = {found["gpa"] for found in ran.findings if found["oracle"] == "jump-memory"}
    assert changed and max(changed) < 0xA0000
    failed = {check["name"] for check in ran.document["checks"] if not check["passed"]}
    assert failed == {
        "A's memory was left alone by the callee",
        "B reads A's memory",
        "memory at A's return is that of its departure",
        "the log of both kernels is clean",
    }


def test_a_stock_kernel_dies_on_the_way_back(tmp_path: Path) -> None:
    """With kexec-tools as its users have it: the jump back helper maps nothing."""
    ran = run_scenario(tmp_path, "jump-kernel", "--loader", "kexec-tools", "--kernel", "6.1-stock")
    assert ran.document["verdict"] == "XFAIL", ran.summary()
    assert "docs/findings/jump-back-entry-unmapped.md" in ran.document["reason"]
    assert ran.document["lives"][0]["outcome"] == "triple fault"
