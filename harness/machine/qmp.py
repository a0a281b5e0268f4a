# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP, the machine's control connection: one JSON object a line, over a connected socket.

A reader thread takes replies and events as they come; ``execute`` may be called from any thread.
Mirrors QEMU's docs/interop/qmp-spec.txt.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import LostMachine

# No reply of QEMU's comes near this; a peer that sends a longer line is not speaking QMP.
MAX_LINE = 16 << 20  # bytes


@dataclass(frozen=True)
class QmpEvent:
    name: str  # "SHUTDOWN"
    data: dict[str, Any]
    time: float  # seconds since the epoch by the machine's own clock; 0.0 where it gave none


class QmpError(LostMachine):
    """A command that the machine refused, or bytes that are not QMP."""

    def __init__(self, message: str, error_class: str = "", description: str = "") -> None:
        super().__init__(message)
        self.error_class = error_class
        self.description = description


class QmpClient:
    """Speaks QMP over ``sock``, which it owns from here on.

    ``on_event`` runs in the reader thread: it must be quick and must not call ``execute``.
    ``on_lost(reason)`` is called there once if the connection ends before ``close()``.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_event: Callable[[QmpEvent], None],
        on_lost: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._sock = sock
        self._on_event = on_event
        self._on_lost = on_lost
        self._send_lock = threading.Lock()
        self._lock = threading.Lock()
        self._next_id = 1
        self._pending: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._lost: str | None = None
        self._closing = False
        self._greeted = threading.Event()
        self.version = ""  # "7.2.22", known after connect()
        self._thread = threading.Thread(target=self._read, name="qmp", daemon=True)

    def connect(self, timeout: float = 10.0) -> None:
        """Awaits the greeting and leaves capabilities negotiation. Raises QmpError."""
        self._thread.start()
        if not self._greeted.wait(timeout):
            raise QmpError(f"QMP: no greeting within {timeout:g} s; is the peer a QMP server?")
        self._raise_if_lost("the greeting")
        self.execute("qmp_capabilities", timeout=timeout)

    def execute(self, command: str, timeout: float = 10.0, **arguments: Any) -> Any:
        """Runs a command and returns its "return" value. Raises QmpError.

        Names with a dash are written with an underscore only where QMP itself does; pass others
        as ``**{"command-line": "info pic"}``.
        """
        reply: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        with self._lock:
            self._raise_if_lost(command)
            number = self._next_id
            self._next_id += 1
            self._pending[number] = reply
        message: dict[str, Any] = {"execute": command, "id": number}
        if arguments:
            message["arguments"] = arguments
        try:
            with self._send_lock:
                self._sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            with self._lock:
                self._pending.pop(number, None)
            raise QmpError(f"QMP {command}: cannot send: {error}") from error
        try:
            answer = reply.get(timeout=timeout)
        except queue.Empty:
            raise QmpError(f"QMP {command}: no answer within {timeout:g} s") from None
        finally:
            with self._lock:
                self._pending.pop(number, None)
        if "return" in answer:
            return answer["return"]
        refusal = answer.get("error")
        if not isinstance(refusal, dict):
            raise QmpError(f"QMP {command}: {answer.get('lost', 'neither a result nor an error')}")
        error_class, description = str(refusal.get("class", "")), str(refusal.get("desc", ""))
        raise QmpError(f"QMP {command}: {description} ({error_class})", error_class, description)

    def hmp(self, line: str, cpu: int | None = None, timeout: float = 10.0) -> str:
        """Runs one line of the human monitor, which has things that QMP lacks; returns its text."""
        arguments: dict[str, Any] = {"command-line": line}
        if cpu is not None:
            arguments["cpu-index"] = cpu
        return str(self.execute("human-monitor-command", timeout, **arguments)).replace("\r", "")

    def close(self) -> None:
        """Ends the connection. Safe to call twice, and from the reader thread."""
        self._closing = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # already gone
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self._sock.close()

    def _raise_if_lost(self, doing: str) -> None:
        if self._lost is not None:
            raise QmpError(f"QMP {doing}: connection lost: {self._lost}")

    def _read(self) -> None:
        reason = "the peer closed the connection"
        buffer = bytearray()
        try:
            while chunk := self._sock.recv(65536):
                start = len(buffer)
                buffer += chunk
                while (end := buffer.find(b"\n", start)) >= 0:
                    line = bytes(buffer[:end])
                    del buffer[: end + 1]
                    start = 0
                    if line.strip():
                        self._take(line)
                if len(buffer) > MAX_LINE:
                    raise QmpError(f"a line longer than {MAX_LINE} bytes")
        except (OSError, QmpError) as error:
            reason = str(error)
        with self._lock:
            self._lost = reason
            pending = list(self._pending.values())
        for waiter in pending:
            waiter.put({"lost": f"connection lost: {reason}"})
        self._greeted.set()
        if not self._closing:
            self._on_lost(reason)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QmpError(f"not JSON: {line[:80]!r} ({error})") from error
        if not isinstance(message, dict):
            raise QmpError(f"a JSON object was expected: {line[:80]!r}")
        if not self._greeted.is_set():
            self._take_greeting(message)
        elif "event" in message:
            data = message.get("data")
            self._on_event(
                QmpEvent(
                    str(message["event"]),
                    data if isinstance(data, dict) else {},
                    _timestamp(message.get("timestamp")),
                )
            )
        elif "return" in message or "error" in message:
            number = message.get("id")
            with self._lock:
                waiter = self._pending.get(number) if isinstance(number, int) else None
            if waiter is not None:  # else: an answer that came after its time-out
                waiter.put(message)
            elif not isinstance(number, int):
                raise QmpError(f"an answer without a usable id: {line[:80]!r}")
        else:
            raise QmpError(f"neither event nor answer: {line[:80]!r}")

    def _take_greeting(self, message: dict[str, Any]) -> None:
        greeting = message.get("QMP")
        if not isinstance(greeting, dict):
            raise QmpError(f'no greeting; {{"QMP": ...}} was expected: {str(message)[:80]}')
        version = greeting.get("version")
        numbers = version.get("qemu") if isinstance(version, dict) else None
        if isinstance(numbers, dict):
            self.version = ".".join(
                str(numbers.get(part, "?")) for part in ("major", "minor", "micro")
            )
        self._greeted.set()


def _timestamp(value: object) -> float:
    if not isinstance(value, dict):
        return 0.0
    seconds, micros = value.get("seconds"), value.get("microseconds")
    if not isinstance(seconds, int) or not isinstance(micros, int) or seconds < 0:
        return 0.0  # QEMU sends -1 where it has no clock
    return seconds + micros / 1e6
