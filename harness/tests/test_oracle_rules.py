# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules of what may differ: exact ranges, split where virtual pages part in RAM."""

from __future__ import annotations

from typing import cast

import pytest

from harness.oracles.rules import COUNTERS, CURSORS, STACK, rules_in, snapshot_rules
from harness.symbols import Symbols

pytestmark = pytest.mark.timeout(20)


class _Symbols:
    def __init__(self, arch: str, table: dict[str, tuple[int, int]]) -> None:
        self.arch = arch
        self._table = table

    def all(self, name: str) -> list[tuple[int, int]]:
        return [self._table[name]] if name in self._table else []


def _symbols(arch: str = "x86_64") -> Symbols:
    table = {"orig_bm": (0x5FF0, 0x40), "copy_bm": (0x7000, 0x40), "nr_copy_pages": (0x8004, 4)}
    return cast(Symbols, _Symbols(arch, table))


def test_the_stack_is_excused_up_to_its_frame_and_not_beyond() -> None:
    entry_sp = 0x100000 + 0x3E58
    ranges = [r for r in snapshot_rules(_symbols(), entry_sp, lambda gva: gva) if r.rule is STACK]
    assert min(r.gpa for r in ranges) == 0x100000  # 16 KiB stacks, aligned to their size
    assert max(r.gpa + r.length for r in ranges) == entry_sp
    assert sum(r.length for r in ranges) == 0x3E58


def test_an_i386_stack_has_8_kib() -> None:
    ranges = snapshot_rules(_symbols("i386"), 0x103E58, lambda gva: gva)
    assert min(r.gpa for r in ranges if r.rule is STACK) == 0x102000


def test_an_object_across_a_page_border_follows_both_pages() -> None:
    ranges = snapshot_rules(_symbols(), 0x100000, lambda gva: gva ^ 0xF0000)
    cursors = sorted((r.gpa, r.length) for r in ranges if r.rule is CURSORS)
    assert cursors == [(0xF5FF0, 0x10), (0xF6000, 0x30), (0xF7000, 0x40)]


def test_symbols_that_a_version_lacks_are_passed_over() -> None:
    ranges = snapshot_rules(_symbols(), 0x100000, lambda gva: gva)
    assert [r.length for r in ranges if r.rule is COUNTERS] == [4]
    assert rules_in(ranges) == [CURSORS, COUNTERS]


def test_what_is_not_mapped_is_not_excused() -> None:
    assert snapshot_rules(_symbols(), 0x103000, lambda gva: None) == []
