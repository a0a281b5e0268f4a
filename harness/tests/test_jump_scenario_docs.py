# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/jump-race.md and docs/kexec-plain.md name every fault and where it is found."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.jump.plain_tampers import PLAIN_TAMPERS
from harness.jump.race_tampers import RACE_TAMPERS
from harness.paths import TREE
from harness.scenario import Fault

PAGES: list[tuple[str, Mapping[str, Fault]]] = [
    ("jump-race.md", RACE_TAMPERS),
    ("kexec-plain.md", PLAIN_TAMPERS),
]


@pytest.mark.parametrize(("name", "tampers"), PAGES, ids=[name for name, _ in PAGES])
def test_faults_are_those_of_the_page(name: str, tampers: Mapping[str, Fault]) -> None:
    section = (TREE / "docs" / name).read_text().split("\n## Faults\n")[1].split("\n\n")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    found = {row[0]: row[2].split(";")[0] for row in rows}
    wanted = {
        name: tamper.expect.replace("FAIL, oracle ", "").replace("stage ", "")
        for name, tamper in tampers.items()
    }
    assert found == wanted
