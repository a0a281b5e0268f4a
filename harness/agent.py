# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of the line to the agent in the guest (docs/guest-protocol.md).

One :class:`Agent` stays with the guest through all lives of a cycle: after a resume in a new
machine, :meth:`Agent.rebind` gives it the new socket, and it goes on talking to the same process.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

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
from harness.agent_state import (
    CommandResult,
    CounterState,
    CpuProof,
    DiskState,
    Hello,
    HibernateResult,
    MemoryState,
    Nonce,
    TimerState,
    TmpfileState,
    WorkloadState,
    parse_workload,
)
from harness.errors import JumpbackError

DEFAULT_TIMEOUT = 10.0  # seconds for a request that the agent answers at once
ASK_AGAIN = 1.0  # seconds without an answer until a request is sent again, under the same id

State = TypeVar("State", bound=WorkloadState)


class AgentError(JumpbackError):
    """The agent in the guest cannot be talked to, or says no."""


class AgentTimeout(AgentError):
    """No answer in time."""


class AgentDisconnected(AgentError):
    """The machine's end of the socket is closed: rebind() takes a new one."""


class AgentProtocolError(AgentError):
    """An answer that docs/guest-protocol.md does not allow."""


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


class Agent:
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
    ) -> Agent:
        """Connects to the Unix socket of the guest's second serial port, waiting for it to appear."""
        return cls(connect_socket(path, timeout), on_line=on_line, on_event=on_event)

    @classmethod
    def attach(
        cls,
        sock: socket.socket,
        *,
        on_line: Callable[[str], None] | None = None,
        on_event: Callable[[AgentEvent], None] | None = None,
    ) -> Agent:
        """Takes a connected socket over; close() closes it."""
        return cls(sock, on_line=on_line, on_event=on_event)

    def __enter__(self) -> Agent:
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
        _, fields = self._ask(verb, timeout, ask_again, words)
        return fields

    def _ask(
        self, verb: str, timeout: float, ask_again: float, words: dict[str, str | int]
    ) -> tuple[str, Fields]:
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
            message = self._exchange(verb, request, make_frame(body), timeout, ask_again)
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
        while True:
            self._send(verb, frame)
            again = min(time.monotonic() + ask_again, start + timeout)
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

    # Verbs

    def wait_ready(self, timeout: float) -> Hello:
        """Waits for the agent of a booting guest."""
        # What is sent before the agent has opened its port is lost; its own first word is not.
        with contextlib.suppress(AgentTimeout):
            self.wait_event("hello", min(0.5, timeout))
        return self.hello(timeout=timeout, ask_again=0.25)

    def hello(self, timeout: float = DEFAULT_TIMEOUT, ask_again: float = ASK_AGAIN) -> Hello:
        return _typed("HELLO", self.request("HELLO", timeout=timeout, ask_again=ask_again), Hello.parse)

    def run(self, command: str, timeout: float = DEFAULT_TIMEOUT) -> CommandResult:
        """Runs a shell command in the guest. After ``timeout`` seconds of the guest's clock the
        agent kills it (``timed_out``); AgentTimeout only where the agent itself is silent.
        """
        request, first = self._ask(
            "RUN",
            timeout + DEFAULT_TIMEOUT,
            ASK_AGAIN,
            {"command": command, "timeout_ms": int(timeout * 1000)},
        )

        def parse(fields: Fields) -> CommandResult:
            return CommandResult(
                exit=fields.optional_number("exit"),
                signal=fields.optional_number("signal"),
                timed_out=fields.number("timed_out") != 0,
                output=self._output(request, fields),
                dropped=fields.number("dropped"),
            )

        return _typed("RUN", first, parse)

    def _output(self, request: str, first: Fields) -> bytes:
        output = base64.b64decode(first.text("data"), validate=True)
        size = first.number("size")
        while len(output) < size:
            fields = self.request("OUTPUT", run=request, offset=len(output))
            more = base64.b64decode(fields.text("data"), validate=True)
            if not more or fields.number("offset") != len(output):
                raise AgentProtocolError(f"guest agent, OUTPUT: {size} bytes were promised")
            output += more
        if binascii.crc32(output) != first.number("crc"):
            raise AgentProtocolError("guest agent, RUN: the output does not have the sum it was sent with")
        return output

    def plant(self, name: str, value: str) -> Nonce:
        """Puts a value into the agent's memory; the answer says where it stands."""
        fields = self.request("PLANT", name=name, value=value)
        return _typed("PLANT", fields, lambda f: Nonce(name, value, f.number("va"), f.optional_number("pa")))

    def check(self, name: str) -> Nonce:
        """What stands in the agent's memory now. AgentRefused, "unknown": nothing was planted there."""
        return _typed(
            "CHECK",
            self.request("CHECK", name=name),
            lambda f: Nonce(name, f.text("value"), f.number("va"), f.optional_number("pa")),
        )

    def cpus(self, milliseconds: int = 20) -> list[CpuProof]:
        """Lets a process run on each online CPU for so long, and says how far each came."""
        fields = self.request("CPUS", ms=milliseconds, timeout=60 + milliseconds / 10)
        proofs = []
        for key, value in fields.pairs:
            if not key.startswith("cpu"):
                continue
            count, error = (int(value), "") if value.isdecimal() else (0, value)
            proofs.append(CpuProof(int(key[3:]), count, error))
        return proofs

    def swap_on(self, device: str, *, make: bool = True, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Swaps to a device; ``make`` writes a new swap header first."""
        self.request("SWAPON", device=device, format=int(make), timeout=timeout)

    def swap_off(self, device: str, timeout: float = 60.0) -> None:
        self.request("SWAPOFF", device=device, timeout=timeout)

    def hibernate(
        self,
        mode: str,
        *,
        compressor: str | None = None,
        image_size: int | None = None,
        pm_test: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> str:
        """Has the guest hibernate, and returns as soon as it is about to, with the attempt's id.

        ``mode``: as /sys/power/disk lists them. ``compressor``: since 6.9. ``image_size``: bytes.
        """
        words: dict[str, str | int] = {"mode": mode}
        for key, value in (("compressor", compressor), ("image_size", image_size), ("pm_test", pm_test)):
            if value is not None:
                words[key] = value
        request, fields = self._ask("HIBERNATE", timeout, ASK_AGAIN, words)
        if fields.get("going") != "1":
            raise AgentProtocolError("guest agent, HIBERNATE: answered ok, but is not going")
        return request

    def wait_resumed(self, request: str, timeout: float) -> HibernateResult:
        """Waits until the write of attempt ``request`` has come back, by event or by asking."""
        end = time.monotonic() + timeout
        while True:
            with contextlib.suppress(AgentTimeout, AgentRefused):
                # An answer from before the kernel stopped the processes would be no proof.
                left = max(0.05, end - time.monotonic())
                result = self.last_hibernate(timeout=min(left, ASK_AGAIN))
                if result.id == request and not result.running:
                    return result
            left = end - time.monotonic()
            if left <= 0:
                raise AgentTimeout(f"guest agent: not back from hibernation in {timeout:g} s")
            with contextlib.suppress(AgentTimeout):
                self.wait_event("resumed", min(left, 0.5), match=lambda f: f.get("id") == request)

    def last_hibernate(self, timeout: float = DEFAULT_TIMEOUT) -> HibernateResult:
        fields = self.request("LAST-HIBERNATE", timeout=timeout)
        return _typed("LAST-HIBERNATE", fields, HibernateResult.parse)

    # Workloads

    def start_counter(self, name: str, nonce: str, *, interval_us: int = 1000) -> CounterState:
        return self._begin(CounterState, name, kind="counter", nonce=nonce, interval_us=interval_us)

    def start_tmpfile(self, name: str, *, seed: int, size: int = 1000016) -> TmpfileState:
        """An open file in tmpfs of ``size`` bytes, one half of it written."""
        return self._begin(TmpfileState, name, kind="tmpfile", seed=seed, bytes=size)

    def start_timer(self, name: str, *, delay: float, interval: float = 0.1) -> TimerState:
        """One-shot timers that are due after ``delay`` seconds, and a periodic one."""
        words = {"delay_ms": int(delay * 1000), "interval_ms": int(interval * 1000)}
        return self._begin(TimerState, name, kind="timer", **words)

    def start_memory(self, name: str, *, megabytes: int, seed: int) -> MemoryState:
        return self._begin(MemoryState, name, kind="memory", mb=megabytes, seed=seed)

    def start_cpu(self, name: str, *, seed: int, cpu: int | None = None) -> WorkloadState:
        """Computes and compares, on one CPU or wherever the scheduler puts it."""
        words = {} if cpu is None else {"cpu": cpu}
        return self._begin(WorkloadState, name, kind="cpu", seed=seed, **words)

    def start_disk(self, name: str, device: str, *, seed: int, size: int = 16 << 20) -> DiskState:
        """Overwrites the first ``size`` bytes of ``device``."""
        return self._begin(DiskState, name, kind="disk", device=device, seed=seed, bytes=size)

    def _begin(self, state: type[State], name: str, **words: str | int) -> State:
        self.request("START", name=name, **words)
        return self.query(name, state)

    def query(self, name: str, state: type[State] | None = None) -> State:
        """What the workload tells now, as the type that its kind has."""
        fields = self.request("QUERY", name=name)
        return self._state("QUERY", name, fields, state)

    def stop(self, name: str, state: type[State] | None = None) -> State:
        """Ends the workload and returns what it told last."""
        return self._state("STOP", name, self.request("STOP", name=name), state)

    def _state(self, verb: str, name: str, fields: Fields, state: type[State] | None) -> State:
        found = _typed(verb, fields, lambda f: parse_workload(name, f))
        wanted: type = WorkloadState if state is None else state
        if not isinstance(found, wanted):
            raise AgentProtocolError(f"guest agent, {verb} {name}: it is a {found.kind} workload")
        return found  # type: ignore[return-value]

    def workloads(self) -> list[str]:
        return self.request("LIST").all("name")

    def verify_tmpfile(self, name: str, timeout: float = 30.0) -> TmpfileState:
        """Has what is written so far read back; offsets of bad bytes stand in the state."""
        return self._tell(name, "verify", timeout)

    def finish_tmpfile(self, name: str, timeout: float = 30.0) -> TmpfileState:
        """Has the second half written through the old descriptor, and all of it read back."""
        return self._tell(name, "finish", timeout)

    def _tell(self, name: str, command: str, timeout: float) -> TmpfileState:
        number = self.request("TELL", name=name, command=command).number("commands")
        end = time.monotonic() + timeout
        while True:
            state = self.query(name, TmpfileState)
            if state.commands_done >= number or not state.alive:
                return state
            if time.monotonic() > end:
                raise AgentTimeout(f"guest agent: {name} did not {command} in {timeout:g} s")
            time.sleep(0.01)


_CLOSED = "the serial port's socket is closed; the machine has ended or dropped the connection"

Parsed = TypeVar("Parsed")


def _typed(verb: str, fields: Fields, parse: Callable[[Fields], Parsed]) -> Parsed:
    try:
        return parse(fields)
    except (KeyError, ValueError) as error:
        raise AgentProtocolError(f"guest agent, {verb}: the answer is not complete: {error}") from error


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
                raise AgentTimeout(f"no connection to the serial port at {path}: {error}") from error
            time.sleep(0.01)
