# SPDX-License-Identifier: GPL-2.0-or-later
"""All events of a life in order, and waiting for one of them. Knows nothing of machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.machine.events import Event

Until = type[Event] | tuple[type[Event], ...] | Callable[[Event], bool]


def matcher(until: Until) -> Callable[[Event], bool]:
    """A predicate from an event class, several of them, or a predicate."""
    if isinstance(until, type | tuple):
        kinds = until
        return lambda event: isinstance(event, kinds)
    return until


class EventLog:
    """Append-only. ``changed`` may also guard other state that waiters depend on."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._events: list[Event] = []

    def append(self, event: Event) -> None:
        with self.changed:
            self._events.append(event)
            self.changed.notify_all()

    def __len__(self) -> int:
        return len(self._events)

    def all(self) -> list[Event]:
        return list(self._events)

    def wait(
        self, wanted: Callable[[Event], bool], since: int, timeout: float
    ) -> tuple[int, Event] | None:
        """The first event from index ``since`` on for which ``wanted`` holds, and its index.

        None if there is none within ``timeout`` seconds. Each event is looked at once.
        """
        deadline = time.monotonic() + timeout
        index = since
        while True:
            with self.changed:
                while index >= len(self._events):
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return None
                    self.changed.wait(left)
                event = self._events[index]
            if wanted(event):
                return index, event
            index += 1
