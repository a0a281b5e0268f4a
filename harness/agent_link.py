# SPDX-License-Identifier: GPL-2.0-or-later
"""Requests and answers over the line to the agent (docs/guest-protocol.md): what holds for every
verb. The verbs themselves are in harness/agent.py.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.agent_frames import (
    MAX_REQUEST,
    Fields,
    LineReader,
    Message,
    escape,
    make_frame,
    parse_line,
    parse_message,
)
from harness.errors import JumpbackError

DEFAULT_TIMEOUT = 10.0  # seconds for a request that the agent answers at once
ASK_AGAIN = 1.0  # seconds without an answer until a request is sent again, under the same id
# The first time it is asked again sooner: what comes while the guest takes its serial port into use
# again, after a resume or a jump, is lost.
ASK_SOON = 0.125  # seconds; doubled each time, up to ASK_AGAIN
_CLOSED = "the serial port's socket is closed; the machine has ended or dropped the connection"


class AgentError(JumpbackError):
    """The agent in the guest cannot be talked to, or says no."""


class AgentTimeout(AgentError):
    """No answer in time."""


class AgentDisconnected(AgentError):
    """The machine's end of the socket is closed: rebind() takes a new one."""


class AgentProtocolError(AgentError):
    """An answer that docs/guest-protocol.md does not allow."""


class AgentReplaced(AgentError):
    """The agent that answers is not the one that was asked before: a fresh boot, or it died."""


class AgentRefused(AgentError):
    """The agent answered "error"; ``code`` is its word for programs (an errno name, "busy", …)."""

    def __init__(self, verb: str, code: str, text: str) -> None:
        super().__init__(f"guest agent, {verb}: {text} ({code})")
        self.code = code


@dataclass(frozen=True)
class AgentEvent:
    number: int  # counted by the agent from 1
    name: str  # "hello", "resumed", "workload-ended"
    fields: Fields


class AgentLink:
    """Thread-safe. ``on_line`` gets every line that arrives, good or not, ``on_event`` every event,
    both from the reader's thread: they must not call back into the agent.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_line: Callable[[str], None] | None = None,
        on_event: Callable[[AgentEvent], None] | None = None,
    ) -> None:
        self.time_scale = 1.0  # multiplies every request's time-out: slow hosts
        self._on_line = on_line
        self._on_event = on_event
        self._changed = threading.Condition()
        self._session = secrets.token_hex(4)
        self._requests = 0
        self._pending: set[str] = set()
        self._replies: dict[str, Message] = {}
        self._events: list[AgentEvent] = []
        self._bad_lines = 0
        self._sock = sock
        self._connected = False
        self._reader: threading.Thread | None = None
        self._start(sock)

    @classmethod
    def connect(
        cls,
        path: Path,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        on_line: Callable[[str], None] | None = None,
        on_event: Callable[[AgentEvent], None] | None = None,
    ) -> Self:
        """Connects to the Unix socket of the guest's second serial port, once it is there."""
        return cls(connect_socket(path, timeout), on_line=on_line, on_event=on_event)

    @classmethod
    def attach(
        cls,
        sock: socket.socket,
        *,
        on_line: Callable[[str], None] | None = None,
        on_event: Callable[[AgentEvent], None] | None = None,
    ) -> Self:
        """Takes a connected socket over; close() closes it."""
        return cls(sock, on_line=on_line, on_event=on_event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The connection

    def close(self) -> None:
        self._stop()

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def bad_lines(self) -> int:
        """Lines that arrived and held no good frame."""
        return self._bad_lines

    @property
    def events(self) -> list[AgentEvent]:
        """All events so far, over all sockets, each once."""
        with self._changed:
            return list(self._events)

    def rebind(self, sock: socket.socket, *, timeout: float | None = None) -> None:
        """Goes on over a new socket, after a resume in a new machine. With a time-out, in seconds,
        also waits until the agent answers there.
        """
        self._stop()
        self._start(sock)
        if timeout is not None:
            self.resync(timeout)

    def _start(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        with self._changed:
            self._sock = sock
            self._connected = True
            self._replies.clear()
        self._reader = threading.Thread(target=self._read, args=(sock,), name="agent", daemon=True)
        self._reader.start()

    def _stop(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(5)
        self._sock.close()

    def _read(self, sock: socket.socket) -> None:
        lines = LineReader()
        while True:
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            for line in lines.feed(data):
                self._take(line)
        with self._changed:
            if self._sock is sock:
                self._connected = False
            self._changed.notify_all()

    def _take(self, line: bytes) -> None:
        if self._on_line is not None:
            self._on_line(line.decode("ascii", "backslashreplace"))
        body = parse_line(line)
        message = None if body is None else parse_message(body)
        event = None
        with self._changed:
            if message is None:
                self._bad_lines += 1
            elif message.kind == "REP":
                # A late answer to a request that nobody waits for any more is dropped.
                if message.id in self._pending:
                    self._replies[message.id] = message
            else:
                event = self._new_event(message)
            self._changed.notify_all()
        if event is not None and self._on_event is not None:
            self._on_event(event)

    def _new_event(self, message: Message) -> AgentEvent | None:
        if not message.id.isdecimal():
            return None
        event = AgentEvent(int(message.id), message.status, message.fields)
        # An agent that was started anew counts from 1 again, and says so by "hello".
        if event.name != "hello" and any(event == known for known in self._events):
            return None
        self._events.append(event)
        return event

    # Requests

    def request(
        self,
        verb: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        ask_again: float = ASK_AGAIN,
        **words: str | int,
    ) -> Fields:
        """Sends a request and returns the words of its answer.

        AgentRefused: the agent said no. AgentTimeout: no answer after ``timeout`` seconds; the
        request may or may not have been carried out. AgentDisconnected: the socket is closed.
        """
        _, fields = self.ask(verb, timeout, ask_again, words)
        return fields

    def ask(
        self, verb: str, timeout: float, ask_again: float, words: Mapping[str, str | int]
    ) -> tuple[str, Fields]:
        """As request, and also says the id under which it was sent."""
        with self._changed:
            self._requests += 1
            request = f"{self._session}-{self._requests}"
            self._pending.add(request)
        body = " ".join(
            ["REQ", request, verb, *(f"{key}={escape(str(word))}" for key, word in words.items())]
        )
        if len(body) > MAX_REQUEST:
            raise AgentError(
                f"guest agent, {verb}: the request has {len(body)} bytes, at most {MAX_REQUEST} "
                "pass: hand long input over in a file of the guest image"
            )
        try:
            limit = timeout * self.time_scale
            message = self._exchange(verb, request, make_frame(body), limit, ask_again)
        finally:
            with self._changed:
                self._pending.discard(request)
                self._replies.pop(request, None)
        if message.status == "ok":
            return request, message.fields
        if message.status != "error":
            raise AgentProtocolError(f"guest agent, {verb}: unknown status {message.status!r}")
        code = message.fields.get("code") or "error"
        raise AgentRefused(verb, code, message.fields.get("text") or "no reason was given")

    def _exchange(
        self, verb: str, request: str, frame: bytes, timeout: float, ask_again: float
    ) -> Message:
        start = time.monotonic()
        heard = "nothing came back"
        patience = min(ASK_SOON, ask_again)
        while True:
            self._send(verb, frame)
            again = min(time.monotonic() + patience, start + timeout)
            patience = min(2 * patience, ask_again)
            with self._changed:
                while True:
                    message = self._replies.pop(request, None)
                    if message is not None and message.status != "pending":
                        return message
                    if message is not None:
                        heard = "it is still at work on it"
                    if not self._connected:
                        raise AgentDisconnected(f"guest agent, {verb}: {_CLOSED}")
                    left = again - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
            if time.monotonic() >= start + timeout:
                raise AgentTimeout(f"guest agent, {verb}: no answer in {timeout:g} s ({heard})")

    def _send(self, verb: str, frame: bytes) -> None:
        try:
            self._sock.sendall(frame)
        except OSError as error:
            with self._changed:
                self._connected = False
            raise AgentDisconnected(f"guest agent, {verb}: {_CLOSED} ({error})") from error

    def resync(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Waits until the agent echoes a token that was never sent before: from then on both ends
        are at a frame's border, and the agent is alive.
        """
        token = secrets.token_hex(8)
        echo = self.request("SYNC", timeout=timeout, ask_again=0.25, token=token).text("token")
        if echo != token:
            raise AgentProtocolError(f"guest agent, SYNC: sent token {token}, got {echo}")

    def wait_event(
        self, name: str, timeout: float, *, after: int = 0, match: Callable[[Fields], bool] = bool
    ) -> AgentEvent:
        """The first event of this name beyond the first ``after`` ones of :attr:`events` for which
        ``match`` holds, waited for if need be.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self._events[after:]:
                    if event.name == name and match(event.fields):
                        return event
                if not self._connected:
                    raise AgentDisconnected(f"guest agent, waiting for event {name}: {_CLOSED}")
                left = end - time.monotonic()
                if left <= 0:
                    raise AgentTimeout(f"guest agent: no event {name} in {timeout:g} s")
                self._changed.wait(left)


def connect_socket(path: Path, timeout: float = DEFAULT_TIMEOUT) -> socket.socket:
    """A connection to a Unix stream socket that QEMU may still be about to make."""
    end = time.monotonic() + timeout
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
            return sock
        except OSError as error:
            sock.close()
            if time.monotonic() >= end:
                raise AgentTimeout(
                    f"no connection to the serial port at {path}: {error}"
                ) from error
            time.sleep(0.01)
