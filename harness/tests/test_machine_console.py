# SPDX-License-Identifier: GPL-2.0-or-later
"""Console lines: complete, unfinished, hostile; and what they mean."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import LostMachine
from harness.machine import console
from harness.machine.console import MAX_LINE, Console, Severity, classify

pytestmark = pytest.mark.timeout(20)


class Port:
    def __init__(self, folder: Path) -> None:
        ours, self.guest = os.pipe()
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.log = folder / "console.log"
        self.console = Console(ours, self.log, self.lines.put)

    def send(self, data: bytes) -> None:
        os.write(self.guest, data)

    def hang_up(self) -> None:
        if self.guest >= 0:
            os.close(self.guest)
            self.guest = -1

    def take(self) -> str:
        return self.lines.get(timeout=5)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    port = Port(tmp_path)
    yield port
    port.console.close()
    port.hang_up()


def test_lines_come_whole_whatever_the_pieces(port: Port) -> None:
    for piece in (b"one\r\ntw", b"o\r", b"\n\nthree\n"):
        port.send(piece)
        time.sleep(0.01)
    assert [port.take() for _ in range(4)] == ["one", "two", "", "three"]
    assert port.log.read_bytes() == b"one\r\ntwo\r\n\nthree\n"
    assert port.console.tail() == ["one", "two", "", "three"]


def test_unfinished_line_is_in_the_tail_and_comes_at_the_end(port: Port) -> None:
    port.send(b"login: ")
    deadline = time.monotonic() + 5
    while port.console.tail() != ["login: "] and time.monotonic() < deadline:
        time.sleep(0.005)
    assert port.console.tail() == ["login: "]
    assert port.lines.empty()
    port.hang_up()
    assert port.take() == "login: "


def test_unfinished_panic_does_not_wait(port: Port) -> None:
    began = time.monotonic()
    port.send(b"Kernel panic - not syncing: Attempted to")
    assert port.take() == "Kernel panic - not syncing: Attempted to"
    assert time.monotonic() - began < 5


def test_endless_line_is_cut(port: Port) -> None:
    port.send(b"x" * (MAX_LINE + 1))
    assert set(port.take()) == {"x"}


def test_bytes_that_are_no_text(port: Port) -> None:
    port.send(b"\xff\x00ok\n")
    assert port.take() == "\ufffd\x00ok"
    assert port.log.read_bytes() == b"\xff\x00ok\n"


def test_settled_waits_for_what_is_read(port: Port) -> None:
    port.send(b"one\ntwo")
    assert port.console.settled() == b"one\ntwo"
    assert port.take() == "one"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_settled_tells_of_a_reader_that_died(tmp_path: Path) -> None:
    died = threading.Event()

    def fail(line: str) -> None:
        died.set()
        raise RuntimeError(f"nobody takes {line!r}")

    ours, guest = os.pipe()
    dead = Console(ours, tmp_path / "console.log", fail)
    os.write(guest, b"one\n")
    assert died.wait(5)
    os.write(guest, b"two\n")
    with pytest.raises(LostMachine, match="reader is dead, 4 bytes"):
        dead.settled()
    dead.close()
    os.close(guest)


def test_settled_tells_of_a_reader_that_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has to leave the lock: one that holds it is passing lines on, which may take its time."""
    monkeypatch.setattr(console, "SETTLE_LIMIT", 0.05)
    monkeypatch.setattr(Console, "_read", lambda self: self._thread_may_end.wait(5))
    monkeypatch.setattr(Console, "_thread_may_end", threading.Event(), raising=False)
    ours, guest = os.pipe()
    stuck = Console(ours, tmp_path / "console.log", lambda line: None)
    os.write(guest, b"one\n")
    with pytest.raises(LostMachine, match="4 bytes are not read after 0.05 s"):
        stuck.settled()
    stuck._thread_may_end.set()  # type: ignore[attr-defined]
    stuck.close()
    os.close(guest)


# Lines as kernels print them, with and without PRINTK_TIME.
@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("Kernel panic - not syncing: sysrq triggered crash", Severity.PANIC),
        ("[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs", Severity.PANIC),
        ("---[ end Kernel panic - not syncing: x ]---", Severity.PANIC),
        ("Oops: 0002 [#1] PREEMPT SMP PTI", Severity.OOPS),
        ("BUG: kernel NULL pointer dereference, address: 0000000000000010", Severity.OOPS),
        ("kernel BUG at kernel/power/snapshot.c:1234!", Severity.OOPS),
        ("general protection fault, probably for non-canonical address", Severity.OOPS),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:1]", Severity.OOPS),
        ("INFO: task kworker/0:1:9 blocked for more than 120 seconds.", Severity.OOPS),
        ("WARNING: CPU: 0 PID: 1 at kernel/kexec_core.c:900 x+0x1/0x2", Severity.WARNING),
        ("WARNING: kernel/kexec_core.c:900 at x+0x1/0x2, CPU#0: sh/1", Severity.WARNING),  # newer
        ("WARNING: possible circular locking dependency detected", Severity.WARNING),
        ("rcu: INFO: rcu_sched self-detected stall on CPU", Severity.WARNING),
        ("PM: hibernation: hibernation entry", Severity.NORMAL),
        ("DEBUG: all is well", Severity.NORMAL),
        ("Kernel command line: panic=0 console=ttyS0", Severity.NORMAL),
    ],
)
def test_severity(line: str, severity: Severity) -> None:
    assert classify(line) is severity
