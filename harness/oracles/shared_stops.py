# SPDX-License-Identifier: GPL-2.0-or-later
"""Several watchers at one breakpoint of a life, none of which knows of the others.

A life has one breakpoint an address, and a second one replaces the first (harness/machine). Two
recorders of the same kernel, or a recorder and a story that wants to stop where it watches, add
their watchers here instead.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Mapping

from harness.machine import Life
from harness.machine.breakpoints import Condition, Hit

_STOPS: weakref.WeakKeyDictionary[Life, SharedStops] = weakref.WeakKeyDictionary()


class SharedStops:
    """Of one life: ``SharedStops.of(life)``."""

    def __init__(self, life: Life) -> None:
        self._life = weakref.proxy(life)
        self._watchers: dict[int, list[Condition]] = {}

    @classmethod
    def of(cls, life: Life) -> SharedStops:
        return _STOPS.setdefault(life, cls(life))

    def add(self, watchers: Mapping[int, Condition]) -> None:
        """By address. A watcher is a breakpoint's condition: the machine stops where any of them
        says so, and all of them are asked."""
        with self._life.paused():
            for address, watcher in watchers.items():
                self._watchers.setdefault(address, []).append(watcher)
                # Also where somebody watches already: others may have removed the breakpoint.
                self._life.add_breakpoint(address, condition=self._ask)

    def remove(self, watchers: Mapping[int, Condition]) -> None:
        with self._life.paused():
            for address, watcher in watchers.items():
                there = self._watchers.get(address, [])
                if watcher in there:
                    there.remove(watcher)
                if not there and self._watchers.pop(address, None) is not None:
                    self._life.remove_breakpoint(address)

    @contextlib.contextmanager
    def stopping(self, *addresses: int) -> Iterator[None]:
        """Inside, the machine stops there, whoever else watches."""
        watchers = {address: _stop for address in addresses}
        self.add(watchers)
        try:
            yield
        finally:
            self.remove(watchers)

    def _ask(self, hit: Hit) -> bool:
        return any([watcher(hit) for watcher in self._watchers.get(hit.address, ())])


def _stop(hit: Hit) -> bool:
    return True
