# SPDX-License-Identifier: GPL-2.0-or-later
"""Real bugs put back into the kernels of the catalogue: each is caught by the scenario that the
catalogue names, and blamed where it says. The kernels without it pass (test_jump_*.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scenarios.tests.run_scenario import run_scenario

import kernel
from harness.scenario import all_scenarios
from kernel.catalogue import Row, load_variants

# A run that hangs ends by its stage's limit, about a minute; a kernel may have to be built first.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1800)]

_RED = {"FAIL", "HANG", "PANIC"}
_REGRESSIONS = [row for row in load_variants() if row.variant and row.variant.kind != "fix"]
# In each run: one of each kind of oracle. They are among the kernels that every run builds.
_ALWAYS = {
    ("7.2+preserve-flag-lost", "x86_64"),
    ("7.2+unwinding-label", "x86_64"),
    ("7.2+callee-stack-past-swap-page", "x86_64"),
}


def test_each_regression_has_a_scenario_that_there_is() -> None:
    scenarios = {scenario.name for scenario in all_scenarios()}
    caught = {row.variant.id: row.variant.scenario for row in _REGRESSIONS if row.variant}
    assert len(caught) >= 12
    assert set(caught.values()) <= scenarios


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            row,
            id=f"{row.title}-{row.arch}",
            marks=() if (row.title, row.arch) in _ALWAYS else pytest.mark.full,
        )
        for row in _REGRESSIONS
    ],
)
def test_it_is_caught_and_the_right_stage_is_blamed(tmp_path: Path, row: Row) -> None:
    assert row.variant is not None
    kernel.build(row)
    which = ("--kernel", row.title, "--arch", row.arch)
    ran = run_scenario(tmp_path, row.variant.scenario, *which, *row.variant.options)
    assert ran.document["verdict"] in _RED, ran.summary()
    assert ran.exit != 0
    assert row.variant.stage in ran.document["failed_stage"], ran.summary()
    if ran.findings:
        assert row.variant.stage in ran.findings[0]["stage"], ran.summary()
