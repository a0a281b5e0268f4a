# SPDX-License-Identifier: GPL-2.0-or-later
"""Framing of the GDB remote protocol: ``$payload#checksum``. Pure functions, no sockets.

Mirrors the GDB manual, appendix E.1 ("Overview") and E.3 ("Stop Reply Packets").
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import LostMachine

ESCAPE = 0x7D  # '}': the next byte is XORed with 0x20
REPEAT = 0x2A  # '*': the next byte minus 29 more copies of the previous one
MAX_PACKET = 1 << 20  # bytes; QEMU's own limit is 4096

SIGINT = 2
SIGQUIT = 3  # QEMU: the guest has powered off or reset
SIGTRAP = 5


class GdbError(LostMachine):
    """The stub refused a request, or sent something that is not the protocol."""


def checksum(payload: bytes) -> int:
    return sum(payload) & 0xFF


def encode(payload: bytes) -> bytes:
    """One packet, ready to send."""
    escaped = bytearray()
    for byte in payload:
        if byte in b"#$}*":
            escaped += bytes((ESCAPE, byte ^ 0x20))
        else:
            escaped.append(byte)
    return b"$" + bytes(escaped) + b"#%02x" % checksum(bytes(escaped))


def decode(body: bytes) -> bytes:
    """Undoes escapes and run lengths of what stood between '$' and '#'. Raises GdbError."""
    if ESCAPE not in body and REPEAT not in body:
        return body
    out = bytearray()
    index = 0
    while index < len(body):
        byte = body[index]
        if byte in (ESCAPE, REPEAT):
            if index + 1 >= len(body):
                raise GdbError(f"gdb: packet ends inside an escape: {body[-40:]!r}")
            index += 1
            if byte == ESCAPE:
                out.append(body[index] ^ 0x20)
            elif not out or body[index] < 32:
                raise GdbError(f"gdb: run length without a byte to repeat: {body[:40]!r}")
            else:
                out += bytes([out[-1]]) * (body[index] - 29)
        else:
            out.append(byte)
        index += 1
    return bytes(out)


class Deframer:
    """Cuts a byte stream into packets. Acknowledgements and noise between packets are dropped."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> bytes | None:
        """The next packet's decoded payload, or None if more bytes are needed. Raises GdbError."""
        start = self._buffer.find(b"$")
        if start < 0:
            self._buffer.clear()
            return None
        end = self._buffer.find(b"#", start)
        if end < 0 or len(self._buffer) < end + 3:
            if len(self._buffer) - start > MAX_PACKET:
                raise GdbError(f"gdb: a packet longer than {MAX_PACKET} bytes")
            return None
        body = bytes(self._buffer[start + 1 : end])
        tail = bytes(self._buffer[end + 1 : end + 3])
        del self._buffer[: end + 3]
        if from_hex(tail) != bytes((checksum(body),)):
            raise GdbError(
                f"gdb: checksum {tail!r} does not fit the packet {body[:40]!r} "
                f"({checksum(body):02x} was expected)"
            )
        return decode(body)


def from_hex(text: bytes) -> bytes:
    """Bytes from hex digits. Raises GdbError."""
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        raise GdbError(f"gdb: hex digits were expected: {text[:40]!r}") from None


def hex_number(text: bytes, what: str) -> int:
    """A number in hex without sign or prefix. Raises GdbError."""
    if not text or any(digit not in b"0123456789abcdefABCDEF" for digit in text):
        raise GdbError(f"gdb: {what}: a hex number was expected: {text[:40]!r}")
    return int(text, 16)


@dataclass(frozen=True)
class StopReply:
    """Why the machine stands still. ``thread``: the stub's number, 0 where it named none."""

    signal: int
    thread: int = 0


def parse_stop_reply(payload: bytes) -> StopReply:
    """Reads 'S..', 'T..' packets. Raises GdbError for others ('W', 'X': the stub is gone)."""
    kind, rest = payload[:1], payload[1:]
    if kind not in (b"S", b"T"):
        raise GdbError(f"gdb: a stop reply was expected: {payload[:40]!r}")
    signal = hex_number(rest[:2], "stop reply")
    thread = 0
    for pair in rest[2:].split(b";"):
        name, _, value = pair.partition(b":")
        if name == b"thread":
            thread = hex_number(value.rpartition(b".")[2], "stop reply's thread")
    return StopReply(signal, thread)
