# SPDX-License-Identifier: GPL-2.0-or-later
"""Framing of the guest protocol (docs/guest-protocol.md): checked lines on a byte stream that may
lose, repeat or invent bytes. The agent's side of it is fixtures/agent/frame.c and text.c.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field

MAX_FRAME = 6016  # bytes of one line: fixtures/agent/frame.h
MAX_REQUEST = 3500  # bytes of a request's body: the guest's tty holds 4095 unread bytes at most

# What is sent as it stands; '%', '~' (a frame's first byte), blanks and controls are escaped.
_PLAIN = frozenset(range(0x21, 0x7E)) - {ord("%")}
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_FRAME = re.compile(rb"~([0-9a-f]{8}) ([^~]*)\Z", re.DOTALL)


def escape(value: str) -> str:
    """``value`` as the value of a ``key=value`` word. A NUL byte cannot be carried: ValueError."""
    if "\0" in value:
        raise ValueError("the guest protocol carries no NUL bytes in values")
    raw = value.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in raw)


def unescape(value: str) -> str:
    """The inverse of :func:`escape`; bytes that are no UTF-8 come as surrogates."""
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), value.encode("ascii"))
    return raw.decode("utf-8", "surrogateescape")


def make_frame(body: str) -> bytes:
    """LF, frame, LF: the first LF ends whatever garbage stood on the line before."""
    raw = body.encode("ascii")
    return b"\n~%08x %b\n" % (binascii.crc32(raw), raw)


def parse_line(line: bytes) -> str | None:
    """The body of the frame at the end of ``line`` (without its LF); None: there is no good one."""
    match = _FRAME.search(line)
    if match is None or int(match[1], 16) != binascii.crc32(match[2]):
        return None
    try:
        return match[2].decode("ascii")
    except UnicodeDecodeError:
        return None


class LineReader:
    """Cuts a byte stream into lines; a line longer than a frame can be is dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines (without LF, never empty) that ``data`` completes."""
        parts = (self._rest + data).split(b"\n")
        self._rest = parts.pop()
        lines = []
        for part in parts:
            if part and not self._too_long:
                lines.append(part)
            self._too_long = False
        if len(self._rest) > MAX_FRAME:
            self._rest = b""
            self._too_long = True
        return lines


@dataclass(frozen=True)
class Fields:
    """The ``key=value`` words of a message; a key may come more than once (LIST)."""

    pairs: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def parse(cls, words: list[str]) -> Fields:
        """ValueError: a word without '='."""
        pairs = []
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"expected key=value, found {word!r}")
            pairs.append((key, unescape(value)))
        return cls(tuple(pairs))

    def all(self, key: str) -> list[str]:
        return [value for name, value in self.pairs if name == key]

    def get(self, key: str) -> str | None:
        values = self.all(key)
        return values[0] if values else None

    def text(self, key: str) -> str:
        """KeyError: the message has no such word."""
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def number(self, key: str) -> int:
        """KeyError, or ValueError for what is neither decimal nor 0x…."""
        return int(self.text(key), 0)

    def optional_number(self, key: str) -> int | None:
        return None if self.get(key) is None else self.number(key)


@dataclass(frozen=True)
class Message:
    """A message from the agent."""

    kind: str  # "REP" or "EVENT"
    id: str  # the request's, or the event's number
    status: str  # of a reply: "ok", "error" or "pending"; of an event: its name
    fields: Fields


def parse_message(body: str) -> Message | None:
    """None: not a message of this protocol."""
    words = body.split(" ")
    if len(words) < 3 or words[0] not in ("REP", "EVENT"):
        return None
    try:
        return Message(words[0], words[1], words[2], Fields.parse(words[3:]))
    except ValueError:
        return None
