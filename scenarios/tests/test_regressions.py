# SPDX-License-Identifier: GPL-2.0-or-later
"""Real bugs put back into the kernels of the catalogue: each is caught by the scenario that the
catalogue names, and blamed where it stands. The kernels without it pass (test_jump_*.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from scenarios.tests.run_scenario import run_scenario

import kernel
from kernel.catalogue import Row, load_variants

pytestmark = [pytest.mark.boots, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Blame:
    """``oracle``: of the first finding; "": the verdict says all. ``stage``: the first finding's, or,
    where there is none, the one in which the run ended."""

    stage: str
    oracle: str = ""
    verdict: str = "FAIL"
    arguments: tuple[str, ...] = ()


_PLAIN = ("--payload", "plain")

# By variant. Of arguments as few as show it.
BLAME = {
    "gdt-not-restored": Blame("return", "jump-cpu", arguments=_PLAIN),
    "callee-stack-past-swap-page": Blame("callee-entry", "jump-cpu", arguments=_PLAIN),
    "preserve-flag-lost": Blame("return", "jump-memory", arguments=("--payload", "ruin")),
    "wrong-swap-page": Blame("callee-entry", "jump-memory", arguments=_PLAIN),
    "no-zero-word": Blame("callee-entry", "jump-cpu"),
    "swap-becomes-copy": Blame("callee-entry", "jump-memory", arguments=_PLAIN),
    "last-indirection-entry-dropped": Blame("callee-entry", "jump-memory"),
    "link-overwrites-last-entry": Blame("list", "page-list"),
    "destination-range-off-by-one": Blame("list", "page-list"),
    "destination-dropped": Blame("list", "page-list"),
    "legacy-apic-not-restored": Blame("P0 departure", "jump-interrupts"),
    "boot-irq-mode-order": Blame("P0 departure", "jump-interrupts"),
    "lvt0-left-masked": Blame("P0 departure", "jump-interrupts"),
    "ioapic-left-masked": Blame("resume", "jump-interrupts", arguments=_PLAIN),
    "jump-back-entry-unmapped": Blame("P0 departure", "jump-memory"),
    "reentry-lost": Blame("return", "payload", arguments=("--payload", "flip")),
    "deadlock": Blame("departure", verdict="HANG", arguments=(*_PLAIN, "--time-scale", "0.3")),
    "unwinding-label": Blame("suspend-devices", "jump-trace"),
    "console-before-devices": Blame("resume-devices", "jump-trace", arguments=_PLAIN),
    "console-left-suspended": Blame("resume-consoles", "jump-trace", arguments=_PLAIN),
    "syscore-not-resumed": Blame("return", verdict="HANG", arguments=_PLAIN),
    "cpus-left-offline": Blame("enable-cpus", "jump-trace", arguments=(*_PLAIN, "--cpus", "2")),
    "thaw-forgotten": Blame("return", verdict="HANG", arguments=(*_PLAIN, "--time-scale", "0.5")),
    "cond-resched-irqs-off": Blame("check", "console"),
}

# In each run: one of each kind of oracle. The rest is for `jumpback test --all`.
ALWAYS = {
    ("7.2+preserve-flag-lost", "x86_64"),
    ("7.2+unwinding-label", "x86_64"),
    ("7.2+callee-stack-past-swap-page", "x86_64"),
}


def _regressions() -> list[Row]:
    return [row for row in load_variants() if row.variant and row.variant.kind == "regression"]


def test_each_regression_has_its_place() -> None:
    """No variant without a scenario that is held to it, and none that is not there."""
    found = {row.variant.id for row in _regressions() if row.variant}
    assert found == set(BLAME)
    assert len(found) >= 12


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=f"{row.title}-{row.arch}",
            marks=() if (row.title, row.arch) in ALWAYS else pytest.mark.full,
        )
        for row in _regressions()
    ],
)
def test_it_is_caught_and_blamed(tmp_path: Path, row: Row) -> None:
    assert row.variant is not None
    blame = BLAME[row.variant.id]
    if (row.title, row.arch) not in {
        (found.version, found.arch)
        for found in kernel.list_kernels()
        if found.state is kernel.State.BUILT
    }:
        pytest.skip(f"not built: jumpback kernel build {row.title} --arch {row.arch}")
    ran = run_scenario(
        tmp_path, row.variant.scenario, "--kernel", row.title, "--arch", row.arch, *blame.arguments
    )
    assert ran.document["verdict"] == blame.verdict, ran.summary()
    assert ran.exit != 0
    assert ran.document["failed_stage"].startswith(blame.stage), ran.summary()
    if blame.oracle:
        first = ran.findings[0]
        assert first["oracle"] == blame.oracle, ran.summary()
        assert first["stage"].startswith(blame.stage), ran.summary()
