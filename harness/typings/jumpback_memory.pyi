# SPDX-License-Identifier: GPL-2.0-or-later
"""Captured guest RAM: comparison, page tables, page structures, snapshot accounting.

Addresses and lengths are bytes, pfns count frames of 4096 bytes. Buffers are borrowed without a
copy (``mmap``, ``memoryview``, ``bytes``); a ``GuestRam`` keeps its buffer exported, so an ``mmap``
cannot be closed while the view or a kernel made from it is alive. Long calls release the GIL.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence

from _typeshed import ReadableBuffer as Buffer

# (gpa, length, rule) or (gpa, length, rule, mask): these bytes may differ, or these bits of each.
ExceptionRange = tuple[int, int, int] | tuple[int, int, int, int]

class MemoryModelError(ValueError):
    """Input makes no sense: ``where`` names the place, ``what`` what was found and expected."""

    where: str
    what: str

class GuestRam:
    """RAM in one buffer. ``regions``: (gpa, offset in buffer, length); none: all of it at 0."""

    def __init__(self, buffer: Buffer, regions: Sequence[tuple[int, int, int]] = ...) -> None: ...
    @property
    def frames(self) -> int: ...
    @property
    def end_pfn(self) -> int: ...
    def read(self, gpa: int, length: int) -> bytes: ...
    def page(self, pfn: int) -> bytes: ...
    def __contains__(self, pfn: object) -> bool: ...

class PageDifference:
    """A page with differences that no rule allows; bytes from the first of them on, at most 16."""

    @property
    def pfn(self) -> int: ...
    @property
    def gpa(self) -> int:
        """Of the first differing byte."""
    @property
    def offset(self) -> int: ...
    @property
    def differing(self) -> int:
        """How many bytes of the page differ and are not allowed to."""
    @property
    def expected(self) -> bytes: ...
    @property
    def found(self) -> bytes: ...

class Comparison:
    """compared == equal + excused + different, in pages."""

    @property
    def compared(self) -> int: ...
    @property
    def equal(self) -> int: ...
    @property
    def excused(self) -> int:
        """Pages where rules allow every differing byte."""
    @property
    def different(self) -> int:
        """All of them, also beyond ``limit``."""
    @property
    def differences(self) -> list[PageDifference]: ...
    @property
    def rule_pages(self) -> dict[int, int]:
        """Rule number to pages in which it was needed; unused rules stand with 0."""

class Coverage:
    """Exact set difference between what had to be saved and an image."""

    @property
    def missing(self) -> array[int]: ...
    @property
    def surplus(self) -> array[int]: ...
    @property
    def duplicates(self) -> array[int]:
        """Frames that the image has more than once."""

def compare_ram(
    expected: GuestRam,
    found: GuestRam,
    *,
    exceptions: Iterable[ExceptionRange] = ...,
    limit: int = ...,
) -> Comparison:
    """Two captures of one machine, all pages. ``limit``: of listed differences."""

def compare_image(
    pfns: Buffer,
    data: Buffer,
    ram: GuestRam,
    *,
    zero_flags: Buffer = ...,
    exceptions: Iterable[ExceptionRange] = ...,
    limit: int = ...,
) -> Comparison:
    """An image's pages against the frames of the same numbers; the image is ``expected``.

    ``pfns``: 64-bit numbers. ``zero_flags``: a byte for each of them, not 0 where the page is full
    of zeros. ``data``: 4096 bytes for each pfn in order, or only for those without the flag.
    """

def check_coverage(expected: Buffer, image: Buffer) -> Coverage:
    """Both are buffers of 64-bit pfns in any order."""

class SnapshotAccounting:
    @property
    def states(self) -> bytes:
        """A FrameState code of harness.results for each pfn below GuestKernel.end_pfn.

        Here only HOLE, FREE, NOSAVE, OWN, ZERO (must be in the image, and the kernel will do it by
        a mark) and SAVED (must be in the image).
        """
    @property
    def counts(self) -> dict[int, int]:
        """State code to number of frames, for codes 0 to 9."""
    @property
    def expected(self) -> array[int]:
        """Frames that had to be saved (SAVED, ZERO), ascending; computed, not the kernel's word."""
    @property
    def recorded(self) -> array[int]:
        """The kernel's orig_bm. Differs from ``expected`` only together with oddities."""
    @property
    def copied(self) -> array[int]:
        """Recorded frames that the kernel copied; ``copies[i]`` is the copy of ``copied[i]``."""
    @property
    def copies(self) -> array[int]: ...
    @property
    def zero(self) -> array[int]:
        """The kernel's zero_bm (6.9 and later)."""
    @property
    def nr_copy_pages(self) -> int: ...
    @property
    def spare_copy_pages(self) -> int: ...
    @property
    def copy_contents(self) -> Comparison:
        """Each original ("expected") against its copy ("found") in the captured RAM."""
    @property
    def oddities(self) -> list[tuple[int | None, str]]:
        """Contradictions (pfn or None, text), the first 32. None in a sound snapshot."""
    @property
    def oddities_total(self) -> int: ...

class GuestKernel:
    """A captured kernel. ``symbols``: name to virtual address, local symbols too (all of vmlinux).

    ``arch``: "x86_64" or "i386". Control registers as at the capture, in kernel mode.
    """

    def __init__(
        self,
        ram: GuestRam,
        symbols: Mapping[str, int],
        arch: str,
        *,
        cr3: int,
        cr0: int,
        cr4: int,
        efer: int,
    ) -> None: ...
    @property
    def release(self) -> str: ...
    @property
    def paging(self) -> str: ...
    @property
    def vmcoreinfo(self) -> dict[str, str]: ...
    @property
    def end_pfn(self) -> int:
        """One past the last frame of any zone."""
    @property
    def zones(self) -> list[tuple[str, int, int, int]]:
        """Populated zones: name, first pfn, one past the last pfn, present pages."""
    def translate(self, gva: int) -> tuple[int, int]:
        """(guest physical address, size of the page that maps it)."""
    def read_virtual(self, gva: int, length: int) -> bytes: ...
    def describe(self, pfn: int) -> str:
        """Whose the frame is: "slab", "free (buddy, order 3)", "anonymous" ... Never fails."""
    def owner_runs(self) -> list[tuple[int, int, str]]:
        """(first pfn, count, owner text) for all frames below ``end_pfn``."""
    def account_snapshot(
        self, *, exceptions: Iterable[ExceptionRange] = ..., limit: int = ...
    ) -> SnapshotAccounting:
        """At the moment right after copy_data_pages(): at swsusp_save()'s last message.

        ``exceptions`` and ``limit`` are for ``copy_contents``, in frames of the originals.
        """
