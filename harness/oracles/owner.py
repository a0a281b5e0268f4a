# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose a page frame is: a symbol of vmlinux, or what the kernel's own page structures say."""

from __future__ import annotations

import jumpback_memory

from harness.symbols import Symbols


class Owners:
    """Of one captured guest."""

    def __init__(self, symbols: Symbols, guest: jumpback_memory.GuestKernel) -> None:
        self._symbols = symbols
        self._guest = guest

    def describe(self, pfn: int, gpa: int) -> str:
        """Of the byte at ``gpa``, in frame ``pfn``."""
        symbol = self._symbols.find_physical(gpa)
        if symbol is not None:
            return f"{symbol[0]}+{symbol[1]:#x}"
        try:
            return self._guest.describe(pfn)
        except jumpback_memory.MemoryModelError as error:
            return f"unknown ({error})"

    def runs(self) -> list[tuple[int, int, str]]:
        """(first pfn, frames, owner) over all frames, in order, by page structures."""
        return self._guest.owner_runs()

    def kernel_symbol(self, pfn: int) -> str | None:
        """The first symbol of a frame of the kernel image."""
        symbol = self._symbols.find_physical(pfn << 12)
        return None if symbol is None else symbol[0]
