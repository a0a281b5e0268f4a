# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/interrupt-model.md says what the model does: its tables, read and compared."""

from __future__ import annotations

import jumpback_interrupts as ji
import pytest

from harness.paths import TREE

pytestmark = pytest.mark.timeout(20)

PAGE = TREE / "docs" / "interrupt-model.md"


def table(head: str) -> list[list[str]]:
    """The rows of the table whose head begins like this."""
    lines = PAGE.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_four_ways() -> None:
    shown = {way: text.replace("`", "").split(", ") for way, text in table("| way | steps |")}
    assert list(shown) == ["jump", "return", "plain kexec", "crash"]
    for way, functions in shown.items():
        for version in ("5.10", "6.1", "6.12", "7.2", "7.3"):
            steps = ji.steps(way, ji.Machine(version))
            made = list(dict.fromkeys(step.split(":")[0] for step in steps))
            old = version in ("5.10", "6.1")
            assert made == [f for f in functions if not (old and f == "i8259A_shutdown")]


def test_values_of_the_local_apic() -> None:
    rows = table("| register | after lapic_suspend")
    machine = ji.Machine("6.1")
    for register, value in {"SPIV": 0x1FF, "LVT0": 0x10700, "LVT1": 0x400, "TPR": 0x10}.items():
        machine[f"LAPIC {register}"] = value
    machine.call("lapic_suspend")
    columns = [machine, machine.copy(), machine.copy()]
    columns[1].call("disconnect_bsp_APIC(0)")
    columns[2].call("disconnect_bsp_APIC(1)")
    assert len(rows) == 7
    for register, *values in rows:
        assert values == [hex(column[register]) for column in columns], register


def test_known_faults() -> None:
    rows = [tuple(row) for row in table("| id | way |")]
    assert rows == [(f.id, f.path, f.what, f.register, f.step) for f in ji.known_faults()]
