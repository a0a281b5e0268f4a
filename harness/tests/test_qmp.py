# SPDX-License-Identifier: GPL-2.0-or-later
"""The QMP client against servers that answer well, badly, and not at all."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.machine.qmp import QmpClient, QmpError, QmpEvent

pytestmark = pytest.mark.timeout(20)

GREETING = {
    "QMP": {
        "version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": ""},
        "capabilities": ["oob"],
    }
}


class Server:
    """Answers each command by what ``answer`` makes of it: objects, or raw bytes."""

    def __init__(self, answer: Callable[[dict[str, Any]], list[Any]]) -> None:
        self.events: queue.SimpleQueue[QmpEvent] = queue.SimpleQueue()
        self.lost: queue.SimpleQueue[str] = queue.SimpleQueue()
        ours, self.sock = socket.socketpair()
        self._answer = answer
        self.client = QmpClient(ours, self.events.put, self.lost.put)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send(self, what: Any) -> None:
        self.sock.sendall(what if isinstance(what, bytes) else json.dumps(what).encode() + b"\r\n")

    def _serve(self) -> None:
        with self.sock.makefile("rb") as lines:
            for line in lines:
                command = json.loads(line)
                if command["execute"] == "qmp_capabilities":
                    self.send({"return": {}, "id": command["id"]})
                    continue
                for part in self._answer(command):
                    self.send(part)

    def close(self) -> None:
        self.client.close()
        self._thread.join(5)
        self.sock.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def make(answer: Callable[[dict[str, Any]], list[Any]] = lambda command: []) -> Server:
        server = Server(answer)
        servers.append(server)
        server.send(GREETING)
        server.client.connect(5)
        return server

    yield make
    for server in servers:
        server.close()


def test_greeting_and_result(serve: Callable[..., Server]) -> None:
    server = serve(lambda command: [{"return": command["arguments"], "id": command["id"]}])
    assert server.client.version == "7.2.22"
    assert server.client.execute("echo", value=[1, "x"]) == {"value": [1, "x"]}


def test_error_has_class_and_description(serve: Callable[..., Server]) -> None:
    error = {"class": "CommandNotFound", "desc": "no such thing"}
    server = serve(lambda command: [{"error": error, "id": command["id"]}])
    with pytest.raises(
        QmpError, match=r"QMP nonsense: no such thing \(CommandNotFound\)"
    ) as caught:
        server.client.execute("nonsense")
    assert caught.value.error_class == "CommandNotFound"
    assert caught.value.description == "no such thing"


def test_answers_find_their_commands_out_of_order(serve: Callable[..., Server]) -> None:
    held: list[dict[str, Any]] = []

    def answer(command: dict[str, Any]) -> list[Any]:
        held.append(command)
        if len(held) < 2:
            return []
        return [{"return": c["arguments"]["n"], "id": c["id"]} for c in reversed(held)]

    server = serve(answer)
    results: dict[int, Any] = {}

    def ask(number: int) -> None:
        results[number] = server.client.execute("get", n=number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert results == {1: 1, 2: 2}


def test_events_come_with_their_time(serve: Callable[..., Server]) -> None:
    server = serve(lambda command: [{"return": {}, "id": command["id"]}])
    server.send(
        {
            "event": "SHUTDOWN",
            "data": {"guest": True, "reason": "guest-reset"},
            "timestamp": {"seconds": 12, "microseconds": 500000},
        }
    )
    assert server.events.get(timeout=5) == QmpEvent(
        "SHUTDOWN", {"guest": True, "reason": "guest-reset"}, 12.5
    )
    server.send({"event": "STOP", "timestamp": {"seconds": -1, "microseconds": -1}})
    assert server.events.get(timeout=5) == QmpEvent("STOP", {}, 0.0)


def test_silence_is_a_time_out_and_a_late_answer_is_dropped(serve: Callable[..., Server]) -> None:
    commands: list[dict[str, Any]] = []

    def answer(command: dict[str, Any]) -> list[Any]:
        commands.append(command)
        if len(commands) == 1:
            return []
        return [{"return": "late", "id": commands[0]["id"]}, {"return": "b", "id": command["id"]}]

    server = serve(answer)
    with pytest.raises(QmpError, match="QMP a: no answer within 0.1 s"):
        server.client.execute("a", timeout=0.1)
    assert server.client.execute("b") == "b"


def test_no_greeting() -> None:
    server = Server(lambda command: [])
    with pytest.raises(QmpError, match="no greeting within 0.1 s"):
        server.client.connect(0.1)
    server.close()


def test_wrong_greeting() -> None:
    server = Server(lambda command: [])
    server.send({"hello": 1})
    with pytest.raises(QmpError, match="no greeting.*was expected"):
        server.client.connect(5)
    server.close()


def test_connection_that_ends_fails_the_command_and_is_told(serve: Callable[..., Server]) -> None:
    def hang_up(command: dict[str, Any]) -> list[Any]:
        server.sock.shutdown(socket.SHUT_RDWR)
        return []

    server = serve(hang_up)
    with pytest.raises(QmpError, match="QMP query: connection lost: the peer closed"):
        server.client.execute("query")
    assert "closed" in server.lost.get(timeout=5)
    with pytest.raises(QmpError):
        server.client.execute("again")


def test_own_close_is_not_a_loss(serve: Callable[..., Server]) -> None:
    server = serve()
    server.client.close()
    server.client.close()
    assert server.lost.empty()


@pytest.mark.parametrize(
    ("garbage", "complaint"),
    [
        (b"what?\n", "not JSON"),
        (b"[1]\n", "object was expected"),
        (b"{}\n", "neither event nor answer"),
        (b'{"return": 1}\n', "without a usable id"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
    ],
)
def test_garbage_is_named(serve: Callable[..., Server], garbage: bytes, complaint: str) -> None:
    server = serve(lambda command: [garbage])
    with pytest.raises(QmpError, match=complaint):
        server.client.execute("query")


def test_endless_line_is_cut_off(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.machine.qmp.MAX_LINE", 1000)
    server = serve(lambda command: [b"x" * 2000])
    with pytest.raises(QmpError, match="longer than 1000 bytes"):
        server.client.execute("query")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5), st.booleans())
def test_no_bytes_do_worse_than_a_qmp_error(chunks: list[bytes], greeted: bool) -> None:
    ours, theirs = socket.socketpair()
    client = QmpClient(ours, lambda event: None)
    if greeted:
        theirs.sendall(json.dumps(GREETING).encode() + b"\n")
        theirs.sendall(b'{"return": {}, "id": 1}\n')
    for chunk in chunks:
        theirs.sendall(chunk)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(QmpError):
        client.connect(5)
        client.execute("query", timeout=5)
    client.close()
    theirs.close()
