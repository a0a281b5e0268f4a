# SPDX-License-Identifier: GPL-2.0-or-later
"""The frame condition and the registers of a kexec jump, for the stops of a running kernel.

Addresses and lengths are bytes, pfns count frames of 4096 bytes. Stops: P0 the first instruction of
relocate_kernel, P1 the callee's entry, P2 the return point (jump-back entry), P3 back in C.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypedDict

from _typeshed import ReadableBuffer as Buffer

Table = tuple[int, int]  # base (linear), limit

class RelocationError(ValueError):
    """Input makes no sense: ``where`` names the place, ``what`` what was found and expected."""

    where: str
    what: str

class Ram:
    """RAM in one buffer. ``regions``: (gpa, offset in buffer, length); none: all of it at 0.
    ``extents``: (offset, length) of what is resident; the rest is zero and not touched. None: all.
    """

    def __init__(
        self,
        buffer: Buffer,
        regions: Sequence[tuple[int, int, int]] = ...,
        extents: Sequence[tuple[int, int]] | None = ...,
    ) -> None: ...
    @property
    def frames(self) -> int: ...
    @property
    def end_pfn(self) -> int: ...
    def __contains__(self, pfn: object) -> bool: ...
    def read(self, gpa: int, length: int) -> bytes: ...

class Frames:
    """Page frames, each once, ascending."""

    def __init__(self, pfns: Sequence[int] = ...) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, pfn: object) -> bool: ...
    def __iter__(self) -> Iterator[int]: ...
    def __or__(self, other: Frames) -> Frames: ...
    def others(self, ram: Ram) -> Frames:
        """All frames of RAM but these."""

class Moves:
    """A decoded page list: (destination, source) in gpa, in order."""

    def __init__(self, moves: Sequence[tuple[int, int]] = ...) -> None: ...
    def __len__(self) -> int: ...
    @property
    def destinations(self) -> Frames: ...
    @property
    def sources(self) -> Frames: ...
    def follow(self, allowed: Sequence[Allowance]) -> list[Allowance]:
        """The same where the pages stand once they have changed places."""
    def source_of(self, pfn: int) -> int | None:
        """Of a destination: the source page's pfn."""
    def destination_of(self, pfn: int) -> int | None: ...

class Allowance:
    """Bits that may differ: ``mask`` of each aligned 64-bit word of the stretch."""

    def __init__(self, rule: str, gpa: int, length: int) -> None:
        """All bits of it."""
    @property
    def rule(self) -> str: ...
    @property
    def gpa(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def mask(self) -> int: ...

class PageDifference:
    @property
    def pfn(self) -> int: ...
    @property
    def gpa(self) -> int:
        """Of the first differing byte."""
    @property
    def differing(self) -> int: ...
    @property
    def expected(self) -> bytes: ...
    @property
    def found(self) -> bytes: ...

class FrameComparison:
    @property
    def compared(self) -> int: ...
    @property
    def different(self) -> int:
        """Pages with a difference that nothing allows, also beyond ``limit``."""
    @property
    def differences(self) -> list[PageDifference]: ...
    @property
    def rule_pages(self) -> dict[str, int]:
        """Of every rule: pages in which it was needed."""

class FrameCopy:
    """Pages as they are at one moment; takes memory once and keeps it."""

    def __init__(self) -> None: ...
    def take(self, ram: Ram, moves: Moves) -> None:
        """The destinations of ``moves``."""
    @property
    def bytes(self) -> int:
        """Copied; pages that are not resident cost nothing."""
    def __len__(self) -> int: ...

def compare_swapped(
    before: Ram,
    after: Ram,
    moves: Moves,
    *,
    left_out: Frames = ...,
    allowed: Sequence[Allowance] = ...,
    limit: int = ...,
) -> FrameComparison:
    """All frames of ``after``: what stood in ``before``, source and destination exchanged."""

def compare_copy(
    copy: FrameCopy,
    after: Ram,
    moves: Moves,
    *,
    allowed: Sequence[Allowance] = ...,
    limit: int = ...,
) -> FrameComparison:
    """The sources of ``moves`` hold what their destinations held when they were copied."""

def rules() -> list[tuple[str, str]]:
    """Name and reason of every rule."""

class Defect(TypedDict):
    """``fix``: mainline commit; ``page``: docs/findings/...; "" for none."""

    id: str
    alias: str
    summary: str
    fix: str
    page: str

class Difference(TypedDict):
    item: str  # "cr0", "gdtr.base", "re-entry word"
    expected: int
    found: int
    known: Defect | None  # explains it
    resembles: Defect | None  # one that this kernel should not have

class CpuState:
    """``gpr``: 16 in the processor's order (rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15).
    ``selectors``: cs ds es ss fs gs."""

    def __init__(
        self,
        *,
        gpr: Sequence[int],
        rip: int,
        rflags: int,
        cr0: int,
        cr3: int,
        cr4: int,
        gdtr: Table,
        idtr: Table,
        selectors: Sequence[int],
    ) -> None: ...

class Places:
    """Where things stand for one jump. ``saved_words``: (offset, length) in the control page;
    ``debug_gdt_span``: the same of the GDT's bytes, (0, 0) if there is none; ``table_pages``: every
    page table that the run walks; ``caller_stack_used``: offset of the stack pointer in its page.
    """

    def __init__(
        self,
        *,
        control_page: int,
        code_size: int,
        saved_words: Sequence[tuple[int, int]],
        debug_gdt_span: tuple[int, int],
        swap_page: int,
        table_root: int,
        table_pages: Sequence[int],
        caller_stack_page: int,
        caller_stack_used: int,
        debug_gdt: Table,
        debug_idt: Table,
    ) -> None: ...

class Kernel:
    """What a release does; ``fixed``: names of docs/findings pages whose defect it has no more."""

    def __init__(self, release: str, arch: str, fixed: Iterable[str] = ...) -> None: ...
    @property
    def note(self) -> str:
        """Empty, or why another version's row is used."""
    @property
    def version(self) -> str: ...
    @property
    def abi(self) -> Literal["page_list", "flags", "stack"]: ...
    @property
    def reentry_slot(self) -> bool: ...
    @property
    def gdt_reloaded(self) -> bool: ...
    @property
    def control_pages(self) -> int:
        """Of the allocation whose last page holds the code."""
    @property
    def debug_tables(self) -> bool: ...
    @property
    def saved_words_in_data(self) -> bool: ...
    @property
    def defects(self) -> list[Defect]: ...
    def allowances(
        self,
        places: Places,
        leg: Literal["there", "back"],
        moves_pages: bool,
        preserve: bool = ...,
    ) -> list[Allowance]: ...
    def check_callee_entry(
        self,
        places: Places,
        *,
        start: int,
        preserve: bool = ...,
        has_pae: bool = ...,
        at_call: CpuState,
        found: CpuState,
        ram: Ram,
    ) -> list[Difference]: ...
    def check_return(
        self,
        *,
        at_call: CpuState,
        callee: CpuState,
        found: CpuState,
        saved_gdt: Table,
        return_address: int,
        reentry: int,
        reentry_without_slot: int | None = ...,
    ) -> list[Difference]: ...
