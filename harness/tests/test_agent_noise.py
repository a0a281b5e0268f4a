# SPDX-License-Identifier: GPL-2.0-or-later
"""The line between host and guest as a hibernation leaves it: bytes lost, repeated, spoilt, cut."""

from __future__ import annotations

import os
import pty
import random
import socket
import subprocess
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agent import Agent, AgentDisconnected, AgentTimeout
from harness.agent_frames import LineReader, Message, make_frame, parse_line, parse_message
from harness.guest_image import build_agent
from harness.tests.agent_rig import HostAgent, Wire, noise

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Iterator[HostAgent]:
    host = HostAgent(tmp_path)
    yield host
    host.stop()


@pytest.fixture(name="wire")
def _wire(host: HostAgent) -> Iterator[Wire]:
    wire = Wire(host.sock)
    yield wire
    wire.close()


class Raw:
    """Frames by hand, where the client would be too well-behaved."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(5)
        self._lines = LineReader()

    def send(self, *bodies: str) -> None:
        self.sock.sendall(b"".join(make_frame(body) for body in bodies))

    def messages(self, count: int) -> list[Message]:
        found: list[Message] = []
        while len(found) < count:
            for line in self._lines.feed(self.sock.recv(65536)):
                message = parse_message(parse_line(line) or "")
                assert message is not None, line
                if message.kind == "REP":
                    found.append(message)
        return found


@pytest.mark.parametrize("seed", range(3))
def test_every_request_is_carried_out_once_over_a_noisy_line(
    host: HostAgent, wire: Wire, seed: int
) -> None:
    print("seed", seed)
    wire.up = noise(random.Random(seed), 0.001)
    wire.down = noise(random.Random(seed + 100), 0.001)
    log = host.folder / "log"
    with Agent.attach(wire.connect()) as agent:
        for number in range(12):
            fields = agent.request(
                "RUN", command=f"echo {number} >> {log}; echo {number}", timeout=10, ask_again=0.03
            )
            assert fields.number("size") == len(f"{number}\n")
        agent.resync()
        noisy = agent.bad_lines
    assert log.read_text().split() == [str(number) for number in range(12)]
    assert noisy > 0, "the line was not noisy: nothing has been tested"


def test_a_repeated_request_is_done_once_and_answered_again(host: HostAgent) -> None:
    raw = Raw(host.sock)
    request = f"REQ x-1 RUN command=echo%20x%20>>{host.folder}/log"
    raw.send(request)
    first = raw.messages(1)[0]
    raw.send(request, request)
    assert raw.messages(2) == [first, first]
    assert (host.folder / "log").read_text() == "x\n"


def test_a_repeat_while_the_command_runs_is_answered_pending(host: HostAgent) -> None:
    raw = Raw(host.sock)
    request = "REQ x-1 RUN command=sleep%200.3"
    raw.send(request, request)
    assert [message.status for message in raw.messages(2)] == ["pending", "ok"]


def test_an_id_is_forgotten_after_sixteen_newer_ones(host: HostAgent) -> None:
    raw = Raw(host.sock)
    raw.send("REQ old SYNC token=first")
    raw.send(*(f"REQ new-{i} SYNC token=t" for i in range(16)))
    raw.send("REQ old SYNC token=second")
    assert raw.messages(18)[-1].fields.text("token") == "second"


def test_garbage_is_skipped_and_counted(host: HostAgent) -> None:
    raw = Raw(host.sock)
    rng = random.Random(5)
    for number in range(50):
        raw.sock.sendall(rng.randbytes(rng.randrange(300)))
        raw.send(f"REQ g-{number} SYNC token={number}")
    raw.sock.sendall(b"x" * 100000)
    raw.send("REQ g-50 SYNC token=50")
    answers = raw.messages(51)
    assert [answer.fields.number("token") for answer in answers] == list(range(51))
    assert answers[-1].fields.number("bad_lines") >= 40


def test_half_a_frame_and_a_frame_without_its_line_feed(host: HostAgent) -> None:
    raw = Raw(host.sock)
    frame = make_frame("REQ h-1 SYNC token=1")
    raw.sock.sendall(frame[:12])
    raw.sock.sendall(make_frame("REQ h-2 SYNC token=2").lstrip(b"\n"))
    assert raw.messages(1)[0].id == "h-2"
    raw.sock.sendall(frame[12:] + make_frame("REQ h-3 SYNC token=3"))
    assert raw.messages(1)[0].id == "h-3"


def test_a_connection_cut_in_the_middle_of_a_reply(host: HostAgent, wire: Wire) -> None:
    budget = 20_000

    def down(data: bytes) -> bytes:
        nonlocal budget
        data, budget = data[:budget], budget - len(data)
        if budget <= 0:
            wire.cut()
        return data

    with Agent.attach(wire.connect()) as agent:
        agent.plant("ram", "before")
        wire.down = down
        with pytest.raises(AgentDisconnected):
            agent.run("head -c 100000 /dev/zero")
        assert not agent.connected
        wire.down = lambda data: data
        agent.rebind(wire.connect(), timeout=10)
        assert agent.check("ram").value == "before"
        assert agent.run("head -c 100000 /dev/zero").output == bytes(100000)


def test_a_silent_agent_is_a_time_out(wire: Wire) -> None:
    wire.up = lambda data: b""
    with Agent.attach(wire.connect()) as agent:
        start = time.monotonic()
        with pytest.raises(AgentTimeout, match="no answer in 0.3 s"):
            agent.hello(timeout=0.3)
        assert 0.25 < time.monotonic() - start < 3
        wire.up = lambda data: data
        agent.resync(5)


def test_a_late_answer_is_not_taken_for_another(wire: Wire) -> None:
    held = bytearray()

    def hold(data: bytes) -> bytes:
        held.extend(data)
        return b""

    with Agent.attach(wire.connect()) as agent:
        wire.down = hold
        with pytest.raises(AgentTimeout):
            agent.request(
                "PLANT", name="a", value="first", timeout=0.3
            )  # its answer comes much later
        wire.down = lambda data: bytes(held) + data if held else data
        agent.plant("a", "second")
        held.clear()
        assert agent.check("a").value == "second"


def test_over_a_terminal_every_byte_passes() -> None:
    try:
        ours, theirs = pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo terminals on this machine: {error}")
    device = os.ttyname(theirs)
    process = subprocess.Popen([str(build_agent()), "--device", device])
    try:
        tty.setraw(ours)
        wire = Wire(_PtySocket(ours))  # type: ignore[arg-type]
        with Agent.attach(wire.connect()) as agent:
            agent.resync(10)
            value = "".join(map(chr, range(1, 100)))
            agent.plant("n", value)
            assert agent.check("n").value == value
            assert agent.run("head -c 50000 /dev/zero").output == bytes(50000)
        wire.close()
    finally:
        process.kill()
        process.wait(5)
        os.close(ours)
        os.close(theirs)


class _PtySocket:
    """A terminal's descriptor as the little of a socket that Wire uses."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def recv(self, size: int) -> bytes:
        return os.read(self._fd, size)

    def sendall(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]
