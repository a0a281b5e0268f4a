# SPDX-License-Identifier: GPL-2.0-or-later
"""Register layouts from target descriptions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.machine.rsp import GdbError
from harness.machine.target_xml import parse_target

pytestmark = pytest.mark.timeout(20)

# As QEMU writes it: a DOCTYPE, and xi: without its namespace.
TARGET = (
    b'<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>'
    b"<architecture>i386:x86-64</architecture>"
    b'<xi:include href="core.xml"/><xi:include href="more.xml"/></target>'
)
CORE = (
    b'<feature name="core"><flags id="f" size="4"><field name="CF" start="0" end="0"/></flags>'
    b'<reg name="rax" bitsize="64" type="int64" regnum="0"/><reg name="eflags" bitsize="32"/>'
    b'<reg name="st0" bitsize="80"/></feature>'
)
MORE = b'<feature name="more"><reg name="cr0" bitsize="64" regnum="30"/></feature>'
FILES = {"target.xml": TARGET, "core.xml": CORE, "more.xml": MORE}


def test_layout_follows_includes_in_order() -> None:
    layout = parse_target(FILES.__getitem__)
    assert layout.architecture == "i386:x86-64"
    places = {s.name: (s.number, s.offset, s.size) for s in layout.slots.values()}
    assert places == {
        "rax": (0, 0, 8),
        "eflags": (1, 8, 4),
        "st0": (2, 12, 10),
        "cr0": (30, 22, 8),
    }


def test_unpack_is_little_endian_and_stops_where_data_stops() -> None:
    layout = parse_target(FILES.__getitem__)
    data = bytes(range(1, 31))
    values = layout.unpack(data)
    assert values["rax"] == 0x0807060504030201
    assert values["eflags"] == 0x0C0B0A09
    assert values["cr0"] == int.from_bytes(data[22:30], "little")
    assert "cr0" not in layout.unpack(data[:29])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"<target/>", "no registers"),
        (b"<target>", "not XML"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><target/>', "entities"),
        (b'<target><reg name="a"/></target>', "without bitsize="),
        (b'<target><reg name="a" bitsize="7"/></target>', "'a' of 7 bits"),
        (b'<target><reg name="a" bitsize="-8"/></target>', "number was expected"),
        (b'<target><reg name="a" bitsize="999999999999"/></target>', "number was expected"),
        (b'<t><reg name="a" bitsize="8"/><reg name="a" bitsize="8"/></t>', "described twice"),
        (b'<target><xi:include href="target.xml"/></target>', "again"),
    ],
)
def test_broken_descriptions_are_named(text: bytes, complaint: str) -> None:
    with pytest.raises(GdbError, match=complaint):
        parse_target({"target.xml": text}.__getitem__)


@given(st.integers(0, len(CORE) - 1), st.binary(min_size=1, max_size=4))
def test_no_damage_does_worse_than_a_gdb_error(place: int, damage: bytes) -> None:
    damaged = CORE[:place] + damage + CORE[place + len(damage) :]
    try:
        layout = parse_target({"target.xml": damaged}.__getitem__)
    except GdbError as error:
        assert "target.xml" in str(error) or "target description" in str(error)
    except KeyError:
        pytest.skip("the damage made an include")
    else:
        assert layout.slots
