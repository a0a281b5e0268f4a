# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's console (ttyS0): raw log on disk, lines with their time, and what they mean."""

from __future__ import annotations

import array
import collections
import enum
import fcntl
import os
import re
import select
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import LostMachine

TAIL_LINES = 60
# A panic's line without its end is passed on after so long: it may be the last thing said.
PARTIAL_LINE_DELAY = 0.1  # seconds
SETTLE_LIMIT = 10.0  # seconds, for what stands in a pipe (64 KiB); usual: 0.001
MAX_LINE = 8192  # bytes; a guest that never ends its line must not fill our memory


class Severity(enum.IntEnum):
    """How bad a console line is."""

    NORMAL = 0
    WARNING = 1  # WARN_ON, lockdep, RCU stalls: the kernel goes on
    OOPS = 2  # a task or a CPU died; the kernel may go on
    PANIC = 3  # the kernel has given up


# What the kernel prints, in the order in which they are tried (kernel/panic.c,
# arch/x86/kernel/dumpstack.c, arch/x86/mm/fault.c, kernel/watchdog.c, kernel/locking/lockdep.c).
PATTERNS: tuple[tuple[Severity, re.Pattern[str]], ...] = tuple(
    (severity, re.compile(pattern))
    for severity, pattern in (
        (Severity.PANIC, r"Kernel panic - not syncing"),
        (Severity.PANIC, r"---\[ end Kernel panic"),
        (Severity.OOPS, r"\bOops: \S+"),
        (Severity.OOPS, r"\bBUG: (unable to handle|kernel NULL pointer|sleeping function)"),
        (Severity.OOPS, r"\bBUG: "),
        (Severity.OOPS, r"kernel BUG at "),
        (Severity.OOPS, r"general protection fault"),
        (Severity.OOPS, r"PANIC: (double fault|early exception)"),
        (Severity.OOPS, r"Unable to handle kernel|unhandled page fault in kernel"),
        (Severity.OOPS, r"watchdog: BUG: soft lockup|hard LOCKUP"),
        (Severity.OOPS, r"INFO: task .* blocked for more than"),
        (Severity.WARNING, r"WARNING: (CPU: \d+|\S+:\d+ at |possible|suspicious|inconsistent)"),
        (Severity.WARNING, r"rcu.*detected (stalls|expedited stalls)|self-detected stall"),
        (Severity.WARNING, r"INFO: possible recursive locking|------------\[ cut here \]"),
    )
)


def classify(line: str) -> Severity:
    """How bad ``line`` is, by the first pattern that it matches."""
    for severity, pattern in PATTERNS:
        if pattern.search(line):
            return severity
    return Severity.NORMAL


class Console:
    """Reads ``pipe``, a descriptor that it owns, in a thread until end-of-file or ``close()``.

    ``on_line(text)`` runs in that thread for every line, in order. The log gets the bytes as they
    came; the text has no carriage returns and no bytes that are not UTF-8.
    """

    def __init__(self, pipe: int, log: Path, on_line: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._stop, self._stopped = os.pipe()  # closing the second ends the thread
        self._on_line = on_line
        self._path = log
        self._log = log.open("ab", buffering=0)
        self._taking = threading.Lock()  # held from a read until its lines were passed on
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._partial = bytearray()
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)
        self._thread.start()

    def tail(self) -> list[str]:
        """The last lines, an unfinished one included."""
        partial = bytes(self._partial)
        return list(self._tail) + ([_text(partial)] if partial else [])

    def settled(self) -> bytes:
        """The whole log of a machine that stands still, once all it wrote has been passed on.

        Raises LostMachine if nobody reads any more."""
        waiting = array.array("i", [0])
        deadline = time.monotonic() + SETTLE_LIMIT
        while True:
            alive = self._thread.is_alive()  # asked first: it may take the rest and end
            with self._taking:
                fcntl.ioctl(self._pipe, termios.FIONREAD, waiting)
                if waiting[0] == 0:
                    return self._path.read_bytes()
            if not alive:
                raise LostMachine(f"console: its reader is dead, {waiting[0]} bytes wait for it")
            if time.monotonic() > deadline:
                raise LostMachine(
                    f"console: {waiting[0]} bytes are not read after {SETTLE_LIMIT:g} s"
                )
            time.sleep(0.001)

    def replay(self, data: bytes) -> None:
        """As if the machine had just written ``data``."""
        with self._taking:
            self._take(data)

    def drain(self, timeout: float) -> None:
        """After the machine's end: until all that it wrote is in the log."""
        self._thread.join(timeout)

    def close(self) -> None:
        """Stops reading. Safe to call twice."""
        if self._stopped < 0:
            return
        os.close(self._stopped)
        self._stopped = -1
        if self._thread is not threading.current_thread():
            self._thread.join()
        os.close(self._pipe)
        os.close(self._stop)
        self._log.close()

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            if self._partial_panic() and not poll.poll(PARTIAL_LINE_DELAY * 1000):
                self._line(bytes(self._partial))
                self._partial.clear()
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._pipe not in ready:
                break  # told to stop, and all that had come is read
            with self._taking:
                data = os.read(self._pipe, 65536)
                if data:
                    self._take(data)
            if not data:
                break
        if self._partial:
            self._line(bytes(self._partial))
            self._partial.clear()

    def _take(self, data: bytes) -> None:
        self._log.write(data)
        self._partial += data
        *lines, rest = self._partial.split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            self._line(bytes(line))
        if len(self._partial) > MAX_LINE:
            self._line(bytes(self._partial))
            self._partial.clear()

    def _partial_panic(self) -> bool:
        return b"panic" in self._partial and classify(_text(self._partial)) is Severity.PANIC

    def _line(self, raw: bytes) -> None:
        text = _text(raw)
        self._tail.append(text)
        self._on_line(text)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\r", "")
