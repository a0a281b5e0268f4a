# SPDX-License-Identifier: GPL-2.0-or-later
"""Every regression of the catalogue turns its scenario red, which blames the right stage.

That the same scenario is green without the regression is the scenarios' own tests' to show.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import kernel
from harness.paths import TREE
from kernel.catalogue import Row

# A run that hangs ends by its stage's limit, about a minute; a kernel may have to be built first.
pytestmark = [pytest.mark.boots, pytest.mark.full, pytest.mark.timeout(1800)]

REGRESSIONS = [row for row in kernel.load_variants() if row.variant and row.variant.kind != "fix"]
RED = {"FAIL", "HANG", "PANIC"}


@pytest.mark.parametrize("row", REGRESSIONS, ids=[row.name for row in REGRESSIONS])
def test_it_is_caught_in_its_scenario_and_the_right_stage_is_blamed(row: Row) -> None:
    assert row.variant is not None
    kernel.build(row)
    words = ["run", row.variant.scenario, "--kernel", row.title, "--arch", row.arch]
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words, *row.variant.options, "--json", "--quiet"],
        cwd=TREE,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert found["verdict"] in RED, found["reason"]
    assert row.variant.stage in found["failed_stage"], found["reason"]
    assert done.returncode != 0
