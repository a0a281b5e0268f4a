# SPDX-License-Identifier: GPL-2.0-or-later
"""The CPU oracle: every register that it compares, seen red."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.machine.registers import GENERAL, Registers, Segment, TableRegister
from harness.oracles.cpu import check_cpu

pytestmark = pytest.mark.timeout(20)


def _registers() -> Registers:
    return Registers(
        cpu=0,
        general={name: 0x1000 + number for number, name in enumerate(GENERAL)},
        rip=0xFFFFFFFF81000000,
        eflags=0x46,
        selectors={"cs": 0x10, "ss": 0x18, "ds": 0, "es": 0, "fs": 0, "gs": 0},
        control={"cr0": 0x80050033, "cr2": 1, "cr3": 2, "cr4": 0x6F0, "cr8": 0, "efer": 0xD01},
        fs_base=0x10,
        gs_base=0x20,
        k_gs_base=0x30,
        gdtr=TableRegister(0xFFFFFE0000001000, 0x7F),
        idtr=TableRegister(0xFFFFFE0000000000, 0xFFF),
        ldtr=Segment(0, 0, 0, 0),
        tr=Segment(0x40, 0xFFFFFE0000003000, 0x206F, 0x8900),
        debug={},
        cpl=0,
        halted=False,
        all={},
    )


def _returned(entry: Registers, word: int = 8) -> Registers:
    general = {**entry.general, "rax": 0, "rsp": entry.general["rsp"] + word}
    return replace(entry, general=general)


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_a_faithful_restore_passes(arch: str) -> None:
    entry = _registers()
    check = check_cpu(
        entry,
        _returned(entry, 8 if arch == "x86_64" else 4),
        entry,
        arch=arch,
        cycle=1,
        life=2,
    )
    assert check.passed and check.compared > 20


@pytest.mark.parametrize("name", ["rbx", "rsi", "rdi", "rbp", "rsp", "r12", "r15", "rax", "rcx"])
def test_a_lost_general_register_is_named(name: str) -> None:
    entry = _registers()
    good = _returned(entry)
    bad = replace(good, general={**good.general, name: good.general[name] ^ 0x10})
    check = check_cpu(entry, bad, entry, arch="x86_64", cycle=1, life=2)
    assert [finding.owner for finding in check.findings] == [name]
    assert "restore_registers" in check.findings[0].message


@pytest.mark.parametrize(
    ("change", "owner"),
    [
        ({"gdtr": TableRegister(0, 0)}, "gdtr.base"),
        ({"idtr": TableRegister(0xFFFFFE0000000000, 0)}, "idtr.limit"),
        ({"gs_base": 0}, "gs.base"),
        ({"fs_base": 0}, "fs.base"),
        ({"k_gs_base": 0}, "kernel_gs.base"),
        ({"tr": Segment(0, 0, 0, 0)}, "tr.selector"),
        ({"ldtr": Segment(0x28, 0, 0, 0)}, "ldtr.selector"),
    ],
)
def test_a_lost_table_or_base_is_named(change: dict[str, object], owner: str) -> None:
    entry = _registers()
    bad = replace(entry, **change)
    check = check_cpu(entry, _returned(entry), bad, arch="x86_64", cycle=1, life=2)
    assert owner in [finding.owner for finding in check.findings]
    assert "restore_processor_state" in check.findings[0].message


@pytest.mark.parametrize("name", ["cr0", "cr2", "cr3", "cr4", "efer"])
def test_a_lost_control_register_is_named(name: str) -> None:
    entry = _registers()
    bad = replace(entry, control={**entry.control, name: entry.control[name] ^ 0x10000})
    check = check_cpu(entry, _returned(entry), bad, arch="x86_64", cycle=1, life=2)
    assert [finding.owner for finding in check.findings] == [name]
