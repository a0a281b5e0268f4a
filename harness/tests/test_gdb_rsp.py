# SPDX-License-Identifier: GPL-2.0-or-later
"""Framing of the GDB remote protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.machine.rsp import (
    Deframer,
    GdbError,
    StopReply,
    checksum,
    decode,
    encode,
    from_hex,
    parse_stop_reply,
)

pytestmark = pytest.mark.timeout(20)


def packet(body: bytes) -> bytes:
    return b"$" + body + b"#%02x" % checksum(body)


def test_known_packets() -> None:
    assert encode(b"OK") == b"$OK#9a"
    assert encode(b"a#b}") == b"$a}\x03b}]#" + b"%02x" % (sum(b"a}\x03b}]") & 255)
    assert decode(b"0* ") == b"0000"  # the manual's example: ' ' is 32, 32 - 29 = 3 more
    assert decode(b"x}\x03") == b"x#"


@given(st.binary(max_size=300), st.data())
def test_round_trip_in_any_pieces(payload: bytes, data: st.DataObject) -> None:
    stream = b"+" + encode(payload) + b"+"
    frames = Deframer()
    seen = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        frames.feed(stream[:cut])
        stream = stream[cut:]
        while (found := frames.next()) is not None:
            seen.append(found)
    assert seen == [payload]


def test_wrong_checksum_is_refused() -> None:
    frames = Deframer()
    frames.feed(b"$OK#9b")
    with pytest.raises(GdbError, match="checksum b'9b'.*9a was expected"):
        frames.next()


@pytest.mark.parametrize("body", [b"a}", b"*!", b"a*", b"a*\x1f"])
def test_broken_escapes_are_refused(body: bytes) -> None:
    frames = Deframer()
    frames.feed(packet(body))
    with pytest.raises(GdbError):
        frames.next()


def test_endless_packet_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.machine.rsp.MAX_PACKET", 100)
    frames = Deframer()
    frames.feed(b"$" + b"0" * 200)
    with pytest.raises(GdbError, match="longer than 100"):
        frames.next()


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (b"S05", StopReply(5)),
        (b"T05thread:01;", StopReply(5, 1)),
        (b"T02thread:p01.0a;", StopReply(2, 10)),
        (b"T05hwbreak:;thread:2;10:00ff;", StopReply(5, 2)),
    ],
)
def test_stop_replies(text: bytes, reply: StopReply) -> None:
    assert parse_stop_reply(text) == reply


@pytest.mark.parametrize("text", [b"", b"OK", b"W00", b"T", b"Tzz", b"T05thread:-1;", b"S-1"])
def test_what_is_no_stop_reply(text: bytes) -> None:
    with pytest.raises(GdbError):
        parse_stop_reply(text)


@given(st.binary(max_size=100))
def test_no_bytes_do_worse_than_a_gdb_error(data: bytes) -> None:
    frames = Deframer()
    frames.feed(data)
    try:
        while (payload := frames.next()) is not None:
            parse_stop_reply(payload)
            from_hex(payload)
    except GdbError as error:
        assert str(error).startswith("gdb: ")
