# SPDX-License-Identifier: GPL-2.0-or-later
"""The GDB client against a fake stub: requests, acknowledgements, refusals and nonsense."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.machine.breakpoints import BreakpointSet, BreakpointSpec, Hit
from harness.machine.gdb import MEMORY_CHUNK, BreakpointKind, GdbClient
from harness.machine.rsp import Deframer, GdbError, StopReply, encode

pytestmark = pytest.mark.timeout(20)

XML = (
    b'<target><reg name="rax" bitsize="64"/><reg name="rsp" bitsize="64"/>'
    b'<reg name="rip" bitsize="64"/><reg name="eflags" bitsize="32"/></target>'
)


class Stub:
    """Two CPUs, 64 KiB of memory, and a script of stops that follow each resume."""

    def __init__(self) -> None:
        ours, self.sock = socket.socketpair()
        self.client = GdbClient(ours, timeout=2)
        self.memory = bytearray(range(256)) * 256
        self.rip = {1: 0x1000, 2: 0x2000}
        self.selected = 1
        self.requests: list[bytes] = []
        self.acks = 0
        self.stops: list[tuple[int, int, int]] = []  # thread, rip, signal: after each vCont
        self.override: dict[bytes, bytes] = {}
        self.no_ack = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        frames = Deframer()
        with contextlib.suppress(OSError):
            while data := self.sock.recv(4096):
                self.acks += data.count(b"+") if b"$" not in data else data.startswith(b"+")
                frames.feed(data)
                while (request := frames.next()) is not None:
                    self.requests.append(request)
                    answer = self.override.get(request, self.answer(request))
                    if answer is not None:
                        self.sock.sendall((b"" if self.no_ack else b"+") + encode(answer))

    def answer(self, request: bytes) -> bytes | None:
        if request.startswith(b"qSupported"):
            return b"PacketSize=1000;qXfer:features:read+" + (
                b";QStartNoAckMode+" if self.no_ack else b""
            )
        if request == b"?":
            return b"T05thread:01;"
        if request == b"qfThreadInfo":
            return b"m01"
        if request == b"qsThreadInfo":
            return b"m02" if self.requests[-2] == b"qfThreadInfo" else b"l"
        if request.startswith(b"qXfer:features:read:target.xml:"):
            start = int(request.split(b":")[-1].split(b",")[0], 16)
            return (b"m" if start + 50 < len(XML) else b"l") + XML[start : start + 50]
        if request.startswith(b"Hg"):
            self.selected = int(request[2:], 16)
            return b"OK"
        if request == b"g":
            return (
                (
                    (0x11).to_bytes(8, "little")
                    + (0x22).to_bytes(8, "little")
                    + self.rip[self.selected].to_bytes(8, "little")
                    + (2).to_bytes(4, "little")
                )
                .hex()
                .encode()
            )
        if request == b"p2":
            return self.rip[self.selected].to_bytes(8, "little").hex().encode()
        if request[:1] == b"m":
            at, length = (int(word, 16) for word in request[1:].split(b","))
            if at + length > len(self.memory):
                return b"E14"
            return self.memory[at : at + length].hex().encode()
        if request[:1] == b"M":
            head, _, data = request[1:].partition(b":")
            at, length = (int(word, 16) for word in head.split(b","))
            self.memory[at : at + length] = bytes.fromhex(data.decode())
            return b"OK"
        if request[:1] in (b"Z", b"z", b"P", b"Q", b"D"):
            return b"OK"
        if request.startswith(b"vCont"):
            thread, rip, signal = self.stops.pop(0)
            self.rip[thread] = rip
            self.selected = thread  # as QEMU does
            return b"T%02xthread:%02x;" % (signal, thread)
        return b""

    def close(self) -> None:
        self.client.close()
        self._thread.join(5)
        self.sock.close()


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()
    yield stub
    stub.close()


def test_handshake_threads_and_registers(stub: Stub) -> None:
    assert stub.client.connect() == StopReply(5, 1)
    assert stub.client.threads() == [1, 2]
    assert stub.client.registers(2) == {"rax": 0x11, "rsp": 0x22, "rip": 0x2000, "eflags": 2}
    assert stub.client.register(1, "rip") == 0x1000
    with pytest.raises(GdbError, match="no register 'cr9'"):
        stub.client.register(1, "cr9")


def test_every_answer_is_acknowledged(stub: Stub) -> None:
    stub.client.connect()
    stub.client.threads()
    stub.client.request(b"?")
    assert stub.acks >= 4


def test_no_ack_mode_is_used_where_offered(stub: Stub) -> None:
    stub.no_ack = True
    stub.client.connect()
    assert b"QStartNoAckMode" in stub.requests
    before = stub.acks
    stub.client.threads()
    assert stub.acks == before


def test_memory_comes_in_chunks(stub: Stub) -> None:
    length = 3 * MEMORY_CHUNK + 5
    assert stub.client.read_memory(1, 0x10, length) == bytes(stub.memory[0x10 : 0x10 + length])
    sizes = [int(r.split(b",")[1], 16) for r in stub.requests if r[:1] == b"m"]
    assert sizes == [MEMORY_CHUNK] * 3 + [5]
    stub.client.write_memory(1, 0x20, b"\xaa" * (MEMORY_CHUNK + 1))
    assert stub.memory[0x20 : 0x20 + MEMORY_CHUNK + 2] == b"\xaa" * (MEMORY_CHUNK + 1) + b"\x21"
    with pytest.raises(GdbError, match="E14"):
        stub.client.read_memory(1, len(stub.memory), 8)


def test_selection_is_renewed_after_a_stop(stub: Stub) -> None:
    assert stub.client.register(1, "rip") == 0x1000
    stub.stops = [(2, 0x3000, 5)]
    assert stub.client.resume()
    assert stub.client.wait_stop() == StopReply(5, 2)
    assert stub.client.register(1, "rip") == 0x1000  # and not CPU 2's


@pytest.mark.parametrize("kind", list(BreakpointKind))
def test_breakpoint_kinds(stub: Stub, kind: BreakpointKind) -> None:
    stub.client.insert_breakpoint(0xABC, kind)
    stub.client.remove_breakpoint(0xABC, kind)
    number = b"%d" % kind.value
    assert stub.requests == [b"Z" + number + b",abc,1", b"z" + number + b",abc,1"]
    stub.override[b"Z" + number + b",1,1"] = b""
    with pytest.raises(GdbError, match="OK was expected"):
        stub.client.insert_breakpoint(1, kind)


@pytest.mark.parametrize(
    ("request_", "answer", "call"),
    [
        (b"g", b"xyz!", lambda c: c.registers(1)),
        (b"g", b"E01", lambda c: c.registers(1)),
        (b"qfThreadInfo", b"l", lambda c: c.threads()),
        (b"qfThreadInfo", b"mfoo", lambda c: c.threads()),
        (b"?", b"W00", lambda c: c.connect()),
        (b"m0,8", b"00" * 9, lambda c: c.read_memory(1, 0, 8)),
        (b"qXfer:features:read:target.xml:0,800", b"m", lambda c: c.layout()),
        (b"qXfer:features:read:target.xml:0,800", b"E00", lambda c: c.layout()),
    ],
)
def test_nonsense_is_an_error(
    stub: Stub, request_: bytes, answer: bytes, call: Callable[[GdbClient], object]
) -> None:
    stub.override[request_] = answer
    with pytest.raises(GdbError):
        call(stub.client)


def test_write_register_and_detach(stub: Stub) -> None:
    stub.client.connect()
    stub.client.write_register(2, "rip", 0x1122334455667788)
    assert stub.requests[-2:] == [b"Hg2", b"P2=8877665544332211"]
    stub.override[b"P3=01000000"] = b"E22"
    with pytest.raises(GdbError, match="E22"):
        stub.client.write_register(2, "eflags", 1)
    stub.client.detach()
    assert stub.requests[-1] == b"D"


def test_silence_and_loss(stub: Stub) -> None:
    with pytest.raises(GdbError, match="no answer within 0.05 s"):
        stub.client.wait_stop(0.05)
    stub.sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(GdbError, match="closed the connection|cannot send"):
        stub.client.request(b"?")


def never() -> bool:
    return False


def test_reported_breakpoint_is_stepped_over_on_its_cpu_only(stub: Stub) -> None:
    points = BreakpointSet(stub.client)
    points.add(BreakpointSpec(0x5000))
    stub.stops = [(2, 0x5000, 5), (2, 0x5001, 5), (1, 0x5000, 5)]
    first = points.run(never)
    assert first is not None and first[0].cpu == 1
    second = points.run(never)
    assert second is not None and second[0].cpu == 0
    conts = [request for request in stub.requests if request.startswith(b"vCont")]
    assert conts == [b"vCont;c", b"vCont;s:2", b"vCont;c"]


def test_moved_or_removed_breakpoint_is_not_stepped_over(stub: Stub) -> None:
    points = BreakpointSet(stub.client)
    points.add(BreakpointSpec(0x5000))
    stub.stops = [(1, 0x5000, 5), (1, 0x5000, 5), (1, 0, 3)]
    assert points.run(never) is not None
    stub.rip[1] = 0x6000
    assert points.run(never) is not None
    points.remove(0x5000)
    assert points.run(never) is None
    conts = [request for request in stub.requests if request.startswith(b"vCont")]
    assert conts == [b"vCont;c"] * 3


def test_step_that_an_interrupt_cuts_short_is_done_later(stub: Stub) -> None:
    points = BreakpointSet(stub.client)
    points.add(BreakpointSpec(0x5000))
    stub.stops = [(1, 0x5000, 5), (1, 0x5000, 2), (1, 0x5004, 5), (1, 0x5000, 5)]
    assert points.run(never) is not None
    assert points.run(never) is None  # the step ended in SIGINT and had not begun
    assert points.run(never) is not None
    conts = [request for request in stub.requests if request.startswith(b"vCont")]
    assert conts == [b"vCont;c", b"vCont;s:1", b"vCont;s:1", b"vCont;c"]


def test_wish_to_pause_beats_going_on(stub: Stub) -> None:
    points = BreakpointSet(stub.client)
    seen: list[int] = []

    def look(hit: Hit) -> bool:
        seen.append(hit.cpu)
        return False

    points.add(BreakpointSpec(0x5000, condition=look))
    stub.stops = [(1, 0x5000, 5), (1, 0x5001, 5)]
    assert points.run(lambda: bool(seen)) is None
    assert seen == [0] and points.hits == 1
    assert stub.requests.count(b"vCont;c") == 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=30).map(encode) | st.binary(max_size=30), max_size=6))
def test_no_bytes_do_worse_than_a_gdb_error(chunks: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    client = GdbClient(ours, timeout=1)
    for chunk in chunks:
        theirs.sendall(chunk)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(GdbError):
        client.connect()
        client.threads()
        client.registers(1)
        client.read_memory(1, 0, 64)
        client.wait_stop(1)
    client.close()
    theirs.close()
