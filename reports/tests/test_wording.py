# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest text made harmless; bytes and numbers worded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results import FrameState
from reports import wording
from reports.tests import strategies


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1bc\x1b[?7l\x1b[2JSeaBIOS", "SeaBIOS"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;ZWNobw==\x1b\\after", "after"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("bell\x07", "bell␇"),
        ("\x9b31mred", "<U+009B>31mred"),
        ("abc\u202egpj.exe", "abc<U+202E>gpj.exe"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_clean(raw: str, cleaned: str) -> None:
    assert wording.clean(raw) == cleaned


def test_an_unfinished_escape_hides_no_later_line() -> None:
    assert "Kernel panic" in wording.clean("\x1b]0;never closed\nKernel panic")


@strategies.relaxed
@given(st.text())
def test_clean_text_can_be_encoded_and_holds_no_controls(raw: str) -> None:
    cleaned = wording.clean(raw)
    cleaned.encode("utf-8")
    assert not [char for char in cleaned if ord(char) < 0x20 and char not in "\t\n"]
    assert "\x1b" not in cleaned and "\x9b" not in cleaned
    assert wording.clean(cleaned) == cleaned
    assert "\n" not in wording.clean_line(raw)


def test_marks_stand_under_the_differing_bytes() -> None:
    assert wording.hex_marks(b"\x01\x02\x03", b"\x01\xff\x03") == "   ^^"
    assert wording.hex_marks(b"\x01", b"\x01\x02") == "   ^^"
    assert wording.hex_marks(b"same", b"same") == ""


@pytest.mark.parametrize(
    ("value", "worded"), [(0.0042, "4 ms"), (12.34, "12.3 s"), (185.2, "3 min 5 s")]
)
def test_seconds(value: float, worded: str) -> None:
    assert wording.seconds(value) == worded


def test_size() -> None:
    assert wording.size(256 << 20) == "256 MiB"
    assert wording.size(100) == "100 bytes"
    assert wording.size(1059) == "1 KiB"
    assert wording.size(5 << 29) == "2.5 GiB"


def test_every_state_has_a_meaning() -> None:
    assert set(wording.STATE_MEANINGS) == set(wording.STATE_NAMES) == set(FrameState)
