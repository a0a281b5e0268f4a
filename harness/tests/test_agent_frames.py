# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from harness.agent_frames import (
    MAX_FRAME,
    Fields,
    LineReader,
    escape,
    make_frame,
    parse_line,
    parse_message,
    unescape,
)

pytestmark = pytest.mark.timeout(30)

values = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60)
bodies = values.map(lambda value: f"REP a-1 ok k={escape(value)}")
garbage = st.binary(max_size=60)


@settings(deadline=None)
@given(values)
def test_escaping_is_undone_and_leaves_one_plain_word(value: str) -> None:
    word = escape(value)
    assert unescape(word) == value
    assert all(0x21 <= ord(c) < 0x7E for c in word)  # no blank, control character or '~'


def test_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        escape("a\0b")


@settings(deadline=None)
@given(st.lists(st.tuples(bodies, garbage), min_size=1, max_size=5), st.integers(1, 50))
def test_garbage_between_frames_is_skipped_however_the_stream_is_cut(
    parts: list[tuple[str, bytes]], step: int
) -> None:
    stream = b"".join(junk + make_frame(body) for body, junk in parts)
    reader = LineReader()
    lines = [
        line for i in range(0, len(stream), step) for line in reader.feed(stream[i : i + step])
    ]
    assert [body for body in map(parse_line, lines) if body is not None] == [b for b, _ in parts]


@settings(deadline=None)
@given(bodies, st.data())
def test_a_damaged_frame_is_never_taken_for_another(body: str, data: st.DataObject) -> None:
    frame = bytearray(make_frame(body))
    place = data.draw(st.integers(1, len(frame) - 2))
    frame[place] ^= data.draw(st.integers(1, 255))
    found = [parse_line(line) for line in LineReader().feed(bytes(frame))]
    assert all(other is None for other in found)


@settings(deadline=None)
@given(bodies, garbage.filter(lambda junk: b"\n" not in junk))
def test_a_frame_glued_to_garbage_is_found(body: str, junk: bytes) -> None:
    # The LF before the frame is what got lost here.
    assert parse_line(junk + make_frame(body).strip(b"\n")) == body


def test_an_endless_line_is_dropped_and_the_next_one_taken() -> None:
    reader = LineReader()
    assert reader.feed(b"x" * (3 * MAX_FRAME)) == []
    assert reader.feed(make_frame("REP a-1 ok")) == [make_frame("REP a-1 ok").strip(b"\n")]


def test_messages() -> None:
    message = parse_message("REP a-1 ok name=a name=b%20c count=0x10")
    assert message is not None
    assert (message.kind, message.id, message.status) == ("REP", "a-1", "ok")
    assert message.fields.all("name") == ["a", "b c"]
    assert message.fields.number("count") == 16
    with pytest.raises(KeyError):
        message.fields.text("missing")
    for bad in ("REQ a-1 HELLO", "REP a-1", "REP a-1 ok word", ""):
        assert parse_message(bad) is None


def test_a_word_without_equals_is_refused() -> None:
    with pytest.raises(ValueError, match="key=value"):
        Fields.parse(["a=b", "c"])
