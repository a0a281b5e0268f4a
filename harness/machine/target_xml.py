# SPDX-License-Identifier: GPL-2.0-or-later
"""The stub's own description of its registers: names, sizes and order in the 'g' packet.

Taken from the stub instead of a table of ours, because QEMU added cr0..cr8, efer and the segment
bases over the years and may add more. Mirrors the GDB manual, appendix G ("Target Descriptions").
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass

from harness.machine.rsp import GdbError

MAX_REGISTERS = 4096
MAX_BITS = 4096  # of one register; the widest real ones (zmm) have 512
MAX_INCLUDES = 64


@dataclass(frozen=True)
class RegisterSlot:
    name: str
    number: int  # for the 'p' packet
    offset: int  # bytes from the start of the 'g' packet's data
    size: int  # bytes


@dataclass(frozen=True)
class RegisterLayout:
    architecture: str  # "i386:x86-64"
    slots: dict[str, RegisterSlot]

    def unpack(self, data: bytes) -> dict[str, int]:
        """Values by name from a 'g' reply; registers beyond its end are left out.

        All registers are little-endian numbers, x87's 80-bit ones and vectors too.
        """
        return {
            slot.name: int.from_bytes(data[slot.offset : slot.offset + slot.size], "little")
            for slot in self.slots.values()
            if slot.offset + slot.size <= len(data)
        }


def parse_target(read_annex: Callable[[str], bytes], annex: str = "target.xml") -> RegisterLayout:
    """Reads ``annex`` and all it includes by ``read_annex(name)``. Raises GdbError."""
    architecture = ""
    slots: dict[str, RegisterSlot] = {}
    number = 0
    offset = 0
    queue = [annex]
    seen: set[str] = set()
    while queue:
        name = queue.pop(0)
        if name in seen or len(seen) >= MAX_INCLUDES:
            raise GdbError(f"gdb: target description includes {name!r} again, or too much")
        seen.add(name)
        includes = []
        for element in _parse(read_annex(name), name).iter():
            tag = element.tag.rpartition("}")[2]
            if tag == "architecture":
                architecture = architecture or (element.text or "").strip()
            elif tag == "include":
                includes.append(_attribute(element, "href", name))
            elif tag == "reg":
                register = _attribute(element, "name", name)
                bits = _number(_attribute(element, "bitsize", name), name)
                if "regnum" in element.attrib:
                    number = _number(element.attrib["regnum"], name)
                if bits % 8 or not 0 < bits <= MAX_BITS or len(slots) >= MAX_REGISTERS:
                    raise GdbError(f"gdb: {name}: register {register!r} of {bits} bits")
                if register in slots:
                    raise GdbError(f"gdb: {name}: register {register!r} is described twice")
                slots[register] = RegisterSlot(register, number, offset, bits // 8)
                number += 1
                offset += bits // 8
        queue = includes + queue  # an include stands in for the place that names it
    if not slots:
        raise GdbError(f"gdb: {annex} describes no registers")
    return RegisterLayout(architecture, slots)


def _parse(text: bytes, name: str) -> ElementTree.Element:
    # Entities would let a peer grow a small file without bound; target descriptions need none.
    if b"<!ENTITY" in text:
        raise GdbError(f"gdb: {name} declares XML entities")
    # expat would look for nothing outside, but DOCTYPE names a file: drop it all the same.
    text = re.sub(rb"<!DOCTYPE[^>\[]*>", b"", text)
    # QEMU writes <xi:include> without saying what xi stands for.
    text = text.replace(b"<xi:include", b"<include").replace(b"</xi:include", b"</include")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise GdbError(f"gdb: {name} is not XML: {error}") from error


def _attribute(element: ElementTree.Element, key: str, name: str) -> str:
    value = element.get(key)
    if value is None:
        raise GdbError(f"gdb: {name}: <{element.tag}> without {key}=")
    return value


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise GdbError(f"gdb: {name}: a number was expected: {text[:20]!r}")
    return int(text)
