# SPDX-License-Identifier: GPL-2.0-or-later
"""hibernate-disk on real kernels: what must be proved, is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scenarios.tests.conftest import Ran

pytestmark = [pytest.mark.boots, pytest.mark.timeout(900)]

# What every proved cycle must have; a check that quietly stops being made is a defect.
CHECKS = {
    "hibernation ends the life",
    "image is well formed",
    "a cold-booted kernel resumed",
    "image is of this kernel",
    "image equals RAM at the snapshot",
    "nothing that had to be saved is missing",
    "restored RAM equals the image",
    "CPU state restored",
    "hibernation returned success",
    "nonces of A are there",
    "workloads went on",
    "timers fired",
    "all CPUs run",
    "interrupt controllers restored",
    "the kernel's log is clean",
}

CASES = [
    pytest.param([], id="x86_64"),
    pytest.param(["--arch", "i386"], id="i386"),
    pytest.param(["--cpus", "2", "--cycles", "3"], id="x86_64-smp-3-cycles"),
    pytest.param(["--arch", "i386", "--cpus", "2", "--mode", "platform"], id="i386-smp-platform"),
    pytest.param(["--mode", "platform", "--load", "memory"], id="platform-load-memory"),
    pytest.param(["--mode", "reboot", "--load", "cpu"], id="reboot-load-cpu"),
    pytest.param(["--compressor", "none", "--load", "disk"], id="nocompress-load-disk"),
    pytest.param(["--arch", "i386", "--compressor", "none"], id="i386-nocompress"),
    pytest.param(["--memory", "96"], id="96-MiB"),
    pytest.param(["--kernel", "6.12", "--compressor", "lz4"], id="6.12-lz4"),
    pytest.param(["--kernel", "6.12", "--cpus", "2"], id="6.12-smp"),
]


@pytest.mark.parametrize("arguments", CASES)
def test_every_cycle_is_proved(jumpback: Callable[..., Ran], arguments: list[str]) -> None:
    ran = jumpback(*arguments)
    assert ran.document["verdict"] == "PASS" and ran.exit == 0, ran.summary()
    cycles = int(ran.document["options"]["cycles"])
    assert ran.document["cycles_proved"] == cycles
    for cycle in range(1, cycles + 1):
        made = {check["name"] for check in ran.document["checks"] if check["cycle"] == cycle}
        assert CHECKS <= made, f"cycle {cycle} lacks {CHECKS - made}"
    assert "the half-written file was finished" in {c["name"] for c in ran.document["checks"]}
    restored = [c for c in ran.document["checks"] if c["oracle"] == "restored-memory"]
    assert all(check["compared"] > 1000 for check in restored), "too few pages for a kernel"


def test_no_exception_rule_is_idle(jumpback: Callable[..., Ran]) -> None:
    """A rule that is never needed hides what it excuses."""
    ran = jumpback()
    rules = {
        rule["name"]: rule["uses"] for check in ran.document["checks"] for rule in check["rules"]
    }
    assert rules and all(rules.values()), rules


def test_lives_are_told_apart(jumpback: Callable[..., Ran]) -> None:
    ran = jumpback("--mode", "platform")
    outcomes = [life["outcome"] for life in ran.document["lives"]]
    assert outcomes == ["power-off S4", "stopped by the rig"], ran.summary()
    nonces = [life["nonce"] for life in ran.document["lives"]]
    assert len(set(nonces)) == 2 and all(nonces)
    for life in ran.document["lives"]:
        assert life["nonce"] in (ran.folder / life["console_log"]).read_text()


def test_lz4_is_skipped_with_its_reason_where_the_kernel_lacks_it(
    jumpback: Callable[..., Ran]
) -> None:
    ran = jumpback("--compressor", "lz4")
    assert ran.document["verdict"] == "SKIP" and ran.exit == 4
    assert "LZ4" in ran.document["reason"]


def test_a_good_run_keeps_no_disk(jumpback: Callable[..., Ran]) -> None:
    ran = jumpback()
    assert not list(ran.folder.glob("*.raw"))
    assert (ran.folder / "report.html").stat().st_size > 10000
    kept = jumpback("--keep")
    assert (kept.folder / "swap.raw").exists()
    assert (kept.folder / "snapshot-cycle-01.ram").stat().st_size == 256 << 20
