# SPDX-License-Identifier: GPL-2.0-or-later
"""What may differ between the image and RAM at the snapshot, byte by byte, each with its reason.

The capture is taken right after the last page was copied (harness/oracles/snapshot_stop.py), so
only what the copy loop itself was changing may differ: its stack, its cursors, and the counters
that swsusp_save() sets between the loop and the message it prints. Between the image and the
restored memory nothing at all may differ: there is no rule for that comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.symbols import Symbols

Translate = Callable[[int], int | None]  # guest virtual to guest physical

PAGE = 4096
# Kernel stack size: THREAD_SIZE, arch/x86/include/asm/page_{32,64}_types.h, without KASAN.
THREAD_SIZE = {"x86_64": 16384, "i386": 8192}


@dataclass(frozen=True)
class Rule:
    name: str
    reason: str


@dataclass(frozen=True)
class ExceptedRange:
    """``length`` bytes at guest physical ``gpa`` may differ, by ``rule``."""

    gpa: int
    length: int
    rule: Rule


STACK = Rule(
    "snapshot-stack",
    "stack below swsusp_arch_suspend()'s frame: the copy loop runs on it while it copies it",
)
CURSORS = Rule(
    "bitmap-cursors",
    "struct memory_bitmap's read cursor moves with each copied page (kernel/power/snapshot.c)",
)
COUNTERS = Rule(
    "image-counters",
    "swsusp_save() sets these after the last copy, before its closing message",
)

# Statics of kernel/power/snapshot.c. Names that a version lacks are passed over.
_CURSOR_SYMBOLS = ("orig_bm", "copy_bm", "zero_bm")
_COUNTER_SYMBOLS = ("nr_copy_pages", "nr_meta_pages", "nr_zero_pages")


def snapshot_rules(symbols: Symbols, entry_sp: int, translate: Translate) -> list[ExceptedRange]:
    """The ranges for one snapshot. ``entry_sp``: the stack pointer at swsusp_arch_suspend()."""
    stack_bottom = entry_sp & ~(THREAD_SIZE[symbols.arch] - 1)
    ranges = _physical(stack_bottom, entry_sp - stack_bottom, STACK, translate)
    for names, rule in ((_CURSOR_SYMBOLS, CURSORS), (_COUNTER_SYMBOLS, COUNTERS)):
        for name in names:
            for address, size in symbols.all(name):
                ranges += _physical(address, size, rule, translate)
    return ranges


def rules_in(ranges: Sequence[ExceptedRange]) -> list[Rule]:
    """Each rule once, in order."""
    return list(dict.fromkeys(item.rule for item in ranges))


def _physical(gva: int, length: int, rule: Rule, translate: Translate) -> list[ExceptedRange]:
    """Splits a virtual range at page borders: neighbours in virtual memory need not be in RAM."""
    ranges: list[ExceptedRange] = []
    while length > 0:
        piece = min(length, PAGE - gva % PAGE)
        gpa = translate(gva)
        if gpa is not None:
            ranges.append(ExceptedRange(gpa, piece, rule))
        gva += piece
        length -= piece
    return ranges
