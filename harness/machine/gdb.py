# SPDX-License-Identifier: GPL-2.0-or-later
"""Client of the GDB remote protocol, for a stub that stands for a whole machine (threads = CPUs).

Synchronous and without a thread of its own. Whoever has resumed the machine calls ``wait_stop``;
meanwhile any other thread may call ``interrupt`` and nothing else.
"""

from __future__ import annotations

import enum
import socket
import threading
import time
from collections.abc import Callable

from harness.machine.rsp import (
    Deframer,
    GdbError,
    StopReply,
    encode,
    from_hex,
    hex_number,
    parse_stop_reply,
)
from harness.machine.target_xml import RegisterLayout, parse_target

# QEMU's packets hold 4096 bytes (MAX_PACKET_LENGTH in its gdbstub); two hex digits a byte.
MEMORY_CHUNK = 1024  # bytes a packet


class BreakpointKind(enum.Enum):
    """Z packet types. Under TCG both are the translator's own and leave guest memory alone."""

    SOFTWARE = 0
    HARDWARE = 1


class GdbClient:
    """Speaks over ``sock``, which it owns from here on. All methods raise GdbError."""

    def __init__(self, sock: socket.socket, timeout: float = 10.0) -> None:
        self._sock = sock
        self._timeout = timeout
        self._frames = Deframer()
        self._acknowledge = True
        self._send_lock = threading.Lock()
        self._features: dict[str, str] = {}
        self._layout: RegisterLayout | None = None
        self._selected = -1  # the thread that 'g', 'p', 'm' work on

    def connect(self) -> StopReply:
        """Handshake; the machine stands still afterwards. Returns why, by the stub's word."""
        reply = self.request(b"qSupported:qXfer:features:read+;hwbreak+;swbreak+")
        for word in reply.decode("ascii", "replace").split(";"):
            name, equals, value = word.partition("=")
            self._features[name.rstrip("+-")] = value if equals else name[-1:]
        if "QStartNoAckMode" in self._features and self.request(b"QStartNoAckMode") == b"OK":
            self._acknowledge = False
        # '?' also makes QEMU's stub forget all breakpoints.
        return parse_stop_reply(self.request(b"?"))

    def threads(self) -> list[int]:
        """The stub's numbers of all CPUs, in CPU order (QEMU: CPU index + 1)."""
        numbers: list[int] = []
        reply = self.request(b"qfThreadInfo")
        while reply[:1] == b"m":
            for word in reply[1:].split(b","):
                numbers.append(hex_number(word.rpartition(b".")[2], "thread list"))
            if len(numbers) > 4096:
                raise GdbError("gdb: the thread list does not end")
            reply = self.request(b"qsThreadInfo")
        if reply != b"l" or not numbers:
            raise GdbError(f"gdb: a list of threads was expected: {reply[:40]!r}")
        return numbers

    def layout(self) -> RegisterLayout:
        """What the stub's registers are called and how they are packed; asked for once."""
        if self._layout is None:
            self._layout = parse_target(self.read_annex)
        return self._layout

    def read_annex(self, name: str) -> bytes:
        """A file of the stub's target description."""
        data = bytearray()
        while True:
            query = f"qXfer:features:read:{name}:{len(data):x},800"
            reply = self.request(query.encode("ascii", "replace"))
            data += reply[1:]
            if reply[:1] == b"l":
                return bytes(data)
            if reply[:1] != b"m" or len(reply) == 1 or len(data) > 1 << 20:
                raise GdbError(f"gdb: {query}: answered {reply[:40]!r}")

    def registers(self, thread: int) -> dict[str, int]:
        """All registers of one CPU by the names of the stub's description."""
        self._select(thread)
        return self.layout().unpack(from_hex(self._data(b"g")))

    def register(self, thread: int, name: str) -> int:
        """One register: a smaller packet than all of them."""
        slot = self.layout().slots.get(name)
        if slot is None:
            raise GdbError(f"gdb: the machine has no register {name!r}")
        self._select(thread)
        return int.from_bytes(from_hex(self._data(b"p%x" % slot.number)), "little")

    def write_register(self, thread: int, name: str, value: int) -> None:
        slot = self.layout().slots.get(name)
        if slot is None:
            raise GdbError(f"gdb: the machine has no register {name!r}")
        self._select(thread)
        data = value.to_bytes(slot.size, "little").hex().encode()
        self._ok(b"P%x=%s" % (slot.number, data))

    def read_memory(self, thread: int, address: int, length: int) -> bytes:
        """``length`` bytes at a guest virtual address, as mapped by that CPU's page tables."""
        self._select(thread)
        data = bytearray()
        while len(data) < length:
            want = min(MEMORY_CHUNK, length - len(data))
            at = address + len(data)
            part = from_hex(self._data(b"m%x,%x" % (at, want)))
            if not part or len(part) > want:
                raise GdbError(f"gdb: {want} bytes at {at:#x} were asked for, got {len(part)}")
            data += part
        return bytes(data)

    def write_memory(self, thread: int, address: int, data: bytes) -> None:
        self._select(thread)
        for start in range(0, len(data), MEMORY_CHUNK):
            part = data[start : start + MEMORY_CHUNK]
            self._ok(b"M%x,%x:%s" % (address + start, len(part), part.hex().encode()))

    def insert_breakpoint(self, address: int, kind: BreakpointKind) -> None:
        self._ok(b"Z%d,%x,1" % (kind.value, address))

    def remove_breakpoint(self, address: int, kind: BreakpointKind) -> None:
        self._ok(b"z%d,%x,1" % (kind.value, address))

    def resume(self, unless: Callable[[], bool] = lambda: False) -> bool:
        """All CPUs run. The caller must ``wait_stop`` next, if this returns True.

        ``unless`` is asked with the line held, so that an ``interrupt`` either finds the machine
        running or is known of here: the stub drops one that comes while the machine stands still.
        """
        with self._send_lock:
            if unless():
                return False
            self._send_raw(encode(b"vCont;c"))
        return True

    def step(self, thread: int) -> None:
        """One instruction on one CPU, the others stand still. The caller must ``wait_stop`` next.

        QEMU holds interrupts back meanwhile (its default single-step flags), and steps over a
        breakpoint at the current instruction.
        """
        self._send(b"vCont;s:%x" % thread)

    def wait_stop(self, timeout: float | None = None) -> StopReply:
        """Until the machine stands still. ``timeout`` in seconds; None: no limit."""
        stop = parse_stop_reply(self._receive(timeout))
        self._selected = -1  # QEMU's gdb_set_stop_cpu has selected the CPU that stopped
        return stop

    def interrupt(self) -> None:
        """Asks a running machine to stop; ``wait_stop`` will tell. Any thread may call it."""
        with self._send_lock:
            self._send_raw(b"\x03")

    def detach(self) -> None:
        """Removes all breakpoints and lets the machine run."""
        self._ok(b"D")
        self.close()

    def close(self) -> None:
        """Ends the connection; a ``wait_stop`` in another thread then raises GdbError."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # already gone
        self._sock.close()

    def request(self, payload: bytes) -> bytes:
        """Sends a packet and returns the answer's payload, b"" for an unknown request."""
        self._send(payload)
        return self._receive(self._timeout)

    def _select(self, thread: int) -> None:
        if thread != self._selected:
            self._ok(b"Hg%x" % thread)
            self._selected = thread

    def _ok(self, payload: bytes) -> None:
        reply = self.request(payload)
        if reply != b"OK":
            raise GdbError(f"gdb: {_show(payload)}: answered {_show(reply)}; OK was expected")

    def _data(self, payload: bytes) -> bytes:
        reply = self.request(payload)
        # An error is 'E' and two digits: three characters, whereas data has an even number.
        if not reply or (reply[:1] == b"E" and len(reply) == 3):
            raise GdbError(f"gdb: {_show(payload)}: answered {_show(reply)}; data was expected")
        return reply

    def _send(self, payload: bytes) -> None:
        with self._send_lock:
            self._send_raw(encode(payload))

    def _send_raw(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise GdbError(f"gdb: cannot send {_show(data)}: {error}") from error

    def _receive(self, timeout: float | None) -> bytes:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (payload := self._frames.next()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise GdbError(f"gdb: no answer within {timeout:g} s")
            try:
                self._sock.settimeout(left)
                data = self._sock.recv(65536)
            except TimeoutError:
                continue
            except OSError as error:
                raise GdbError(f"gdb: connection lost: {error}") from error
            if not data:
                raise GdbError("gdb: the stub closed the connection")
            self._frames.feed(data)
        if self._acknowledge:
            # QEMU takes any byte as a wish to stop while the machine runs; here it stands still,
            # for a packet of its own comes only as an answer or when it has stopped.
            with self._send_lock:
                self._send_raw(b"+")
        return payload


def _show(payload: bytes) -> str:
    return repr(payload[:60])[1:]
