# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's agent as a process of this host, for the tests: it is an ordinary Linux program."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.agent import Agent
from harness.guest_image import build_agent


class HostAgent:
    """Runs the agent over one end of a socket pair, with files of ``folder`` as its /sys/power."""

    def __init__(self, folder: Path, device: Path | None = None) -> None:
        self.folder = folder
        self.power = folder / "power"
        self.power.mkdir()
        for name in ("disk", "state", "image_size", "pm_test", "compressor"):
            (self.power / name).touch()
        (folder / "cmdline").write_text("console=ttyS0 jumpback.life=life-7 quiet\n")
        self.sock, theirs = socket.socketpair()
        where = ["--fd", str(theirs.fileno())] if device is None else ["--device", str(device)]
        # fmt: off
        command = [
            str(build_agent()), *where, "--directory", str(folder),
            "--sys-power", str(self.power), "--hibernate-parameters", str(self.power),
            "--cmdline", str(folder / "cmdline"), "--jump-file", str(folder / "jumps"),
        ]
        # fmt: on
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(5)
        self.sock.close()


@contextlib.contextmanager
def host_agent(folder: Path) -> Iterator[tuple[HostAgent, Agent]]:
    """An agent and a client that is connected to it."""
    host = HostAgent(folder)
    try:
        with Agent.attach(host.sock.dup()) as agent:
            yield host, agent
    finally:
        host.stop()


class Wire:
    """A line between a client and the agent that does to the bytes what it is told to.

    ``up`` and ``down`` get what came from the client and from the agent and return what goes on.
    """

    def __init__(self, agent_side: socket.socket) -> None:
        self.up: Callable[[bytes], bytes] = lambda data: data
        self.down: Callable[[bytes], bytes] = lambda data: data
        self._agent_side = agent_side
        self._client_side: socket.socket | None = None
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def connect(self) -> socket.socket:
        """The client's end of a new connection; what the old one had in it is lost."""
        ours, theirs = socket.socketpair()
        with self._lock:
            if self._client_side is not None:
                self._client_side.close()
            self._client_side = ours
        return theirs

    def cut(self) -> None:
        with self._lock:
            if self._client_side is not None:
                self._client_side.close()
            self._client_side = None

    def close(self) -> None:
        self._end.set()
        self._thread.join(5)
        self.cut()

    def _pump(self) -> None:
        while not self._end.is_set():
            with self._lock:
                client = self._client_side
            sources = [self._agent_side] if client is None else [self._agent_side, client]
            with contextlib.suppress(OSError, ValueError):
                for source in select.select(sources, [], [], 0.02)[0]:
                    data = source.recv(4096)
                    if source is self._agent_side:
                        data = self.down(data)
                        if client is not None:
                            client.sendall(data)
                    elif data:
                        self._agent_side.sendall(self.up(data))


def noise(rng: random.Random, rate: float) -> Callable[[bytes], bytes]:
    """Loses, repeats, flips and invents bytes, each with this rate."""

    def spoil(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            dice = rng.random()
            if dice < rate:
                continue
            if dice < 2 * rate:
                out += bytes([byte, byte])
            elif dice < 3 * rate:
                out.append(byte ^ 1 << rng.randrange(8))
            elif dice < 4 * rate:
                out += rng.randbytes(rng.randrange(20)) + bytes([byte])
            else:
                out.append(byte)
        return bytes(out)

    return spoil


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """AssertionError where it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true within {seconds} s"
        time.sleep(0.01)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Holds a process still."""
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(") ")[2].startswith("T"))
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def peek(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)


def poke(pid: int, address: int, data: bytes) -> None:
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(data)


def poke_number(pid: int, page: int, old: int, new: int) -> None:
    """Replaces a 64-bit number that stands once or more in the page at ``page``."""
    content = peek(pid, page, 4096)
    place = content.find(old.to_bytes(8, "little"))
    assert place >= 0, f"{old} does not stand in the workload's page"
    poke(pid, page + place, new.to_bytes(8, "little"))
