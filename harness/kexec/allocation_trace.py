# SPDX-License-Identifier: GPL-2.0-or-later
"""The page frames that the kernel's allocator gives a kexec_load call, traced from outside.

Every call of kimage_alloc_pages() is stopped at where it returns: the result is a struct page, the
caller says what it is for. The places are found in the running kernel's own text, so that nothing
depends on how a compiler laid out the callers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.errors import SkipError
from harness.kexec.guest_view import GuestView
from harness.machine import Hit, Life

ALLOCATOR = "kimage_alloc_pages"
_CONTROL = "kimage_alloc_control_pages"
_CALL = 0xE8  # call rel32, on both architectures
_CALL_BYTES = 5


class CannotTrace(SkipError):
    """This kernel's allocator cannot be watched from outside; ``str()`` says why."""


@dataclass(frozen=True)
class Allocation:
    """2^order frames from ``first`` on. ``control``: asked for by kimage_alloc_control_pages()."""

    first: int  # pfn
    order: int
    control: bool


@dataclass(frozen=True)
class CallSite:
    returns_to: int
    caller: str


class AllocationTrace:
    """``sites``: every place that calls the allocator."""

    def __init__(self, life: Life, view: GuestView) -> None:
        self._life = life
        self._view = view
        self.sites = find_call_sites(view)
        self.allocations: list[Allocation] = []
        self.failures = 0  # the allocator had nothing to give
        self._last: tuple[int, ...] = ()

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Traces what happens inside. The machine may run or stand still."""
        self.allocations = []
        self.failures = 0
        self._last = ()
        by_address = {site.returns_to: site for site in self.sites}
        for address, site in by_address.items():
            self._life.add_breakpoint(address, f"return of {ALLOCATOR} in {site.caller}", self._hit)
        try:
            yield
        finally:
            for address in by_address:
                self._life.remove_breakpoint(address)

    def _hit(self, hit: Hit) -> bool:
        page = hit.register("rax") & ((1 << 8 * self._view.word) - 1)
        # A few of a thousand single steps of QEMU 7.2 end before their instruction was executed:
        # the same stop comes again. Nobody gives a frame back between two returns here.
        now = (hit.thread, hit.address, hit.register("rsp"), page)
        if page != 0 and now == self._last:
            return False
        self._last = now
        site = next(site for site in self.sites if site.returns_to == hit.address)
        if page == 0:
            self.failures += 1
            return False
        pfn = self._view.pages.frame_of(page)
        if pfn is None:
            raise ValueError(f"{ALLOCATOR} returned {page:#x}, no struct page of this kernel")
        order = self._view.pages.member(page, "private")
        self.allocations.append(Allocation(pfn, order, site.caller.startswith(_CONTROL)))
        return False


def find_call_sites(view: GuestView) -> list[CallSite]:
    """Where functions of kexec call the allocator. Raises CannotTrace if there is no such place."""
    targets = {address for address, _ in view.symbols.all(ALLOCATOR)}
    if len(targets) != 1:
        raise CannotTrace(
            f"{view.symbols.path} has {'no' if not targets else 'several'} {ALLOCATOR}: "
            "the compiler put it into its callers, so its results cannot be told apart"
        )
    (target,) = targets
    found = []
    for name, address, size in _kexec_functions(view):
        text = view.kernel.read_virtual(address, size)
        for at in range(size - _CALL_BYTES + 1):
            if text[at] != _CALL:
                continue
            (distance,) = struct.unpack_from("<i", text, at + 1)
            after = address + at + _CALL_BYTES
            if (after + distance) & ((1 << 8 * view.word) - 1) == target:
                found.append(CallSite(after, name))
    if not found:
        raise CannotTrace(f"{view.symbols.path}: nobody calls {ALLOCATOR}")
    return found


def _kexec_functions(view: GuestView) -> Iterator[tuple[str, int, int]]:
    """Name, address and size of every function that may call a static function of kexec_core.c."""
    for name in view.symbols.addresses():
        if name.startswith(("kimage_", "do_kexec_load", "crash_")):
            for address, size in view.symbols.all(name):
                if 0 < size < 1 << 16:
                    yield name, address, size
