# SPDX-License-Identifier: GPL-2.0-or-later
"""How every report words the same thing: addresses, bytes, times, and text that a guest wrote.

Whatever a guest prints ends up in a terminal, an XML file or a web page of the person who runs the
rig. ``clean`` makes it harmless for the terminal (no escape sequences, no reordering of text) and
encodable as UTF-8; escaping for XML and HTML stays the business of the renderers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.results import Finding, FrameState, KnownDefect, RunResult

PAGE_SIZE = 4096  # bytes; both architectures under test

# ECMA-48: control strings (OSC, DCS, APC, PM, SOS), control sequences (CSI), short escapes.
# SeaBIOS and many shells print them on the serial console.
_ESCAPES = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b\r\n]*(?:\x07|\x1b\\)?"
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)

_ALWAYS_BAD = {
    # A lone surrogate cannot be encoded; U+FFFE and U+FFFF are no characters and no XML.
    **{code: "\N{REPLACEMENT CHARACTER}" for code in (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)},
    # Marks that reorder what follows: text must stand in the order in which it was printed.
    **{code: f"<U+{code:04X}>" for code in (0x200E, 0x200F, *range(0x202A, 0x202F))},
    **{code: f"<U+{code:04X}>" for code in range(0x2066, 0x206A)},
    # C0 and C1 controls become visible: U+2400 is the block of their pictures.
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"<U+{code:04X}>" for code in (*range(0x80, 0xA0), 0x2028, 0x2029)},
}

STATE_NAMES = {state: state.name.lower() for state in FrameState}

STATE_MEANINGS = {
    FrameState.HOLE: "no RAM here, or not in the kernel's memory map",
    FrameState.FREE: "free at the snapshot: need not be saved",
    FrameState.NOSAVE: "nosave region or section: must not be saved",
    FrameState.OWN: "the snapshot code's own copies and bitmaps: must not be saved",
    FrameState.ZERO: "saved as a mark: the page was all zero",
    FrameState.EQUAL: "saved, and proved equal at every comparison",
    FrameState.EXCEPTED: "saved, differs where a rule allows it",
    FrameState.DIFFERENT: "saved, differs and no rule allows it: a finding",
    FrameState.MISSING: "had to be saved, is not in the image: a finding",
    FrameState.SAVED: "in the image, not compared with restored memory",
}

BAD_STATES = (FrameState.DIFFERENT, FrameState.MISSING)


def clean(text: str) -> str:
    """``text`` without escape sequences; control characters shown, line ends as ``\\n``."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return text.translate(_ALWAYS_BAD)


def clean_line(text: str) -> str:
    """``clean`` for places that hold one line: line ends become a visible sign, tabs a space."""
    return clean(text).strip("\n").replace("\n", " ⏎ ").replace("\t", " ")


def count(number: int, singular: str, plural: str = "") -> str:
    """``1 page``, ``65,536 pages``."""
    word = singular if number == 1 else (plural or singular + "s")
    return f"{number:,} {word}"


def seconds(value: float) -> str:
    """A duration for people: ``4 ms``, ``12.3 s``, ``3 min 5 s``."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def size(byte_count: int) -> str:
    """A size with a binary unit: ``256 MiB``."""
    value = float(byte_count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{_short(value)} {unit}"
        value /= 1024
    return f"{_short(value)} TiB"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if value < 100 else f"{value:.0f}"


def hex_bytes(data: bytes) -> str:
    """``00 ff 1a``."""
    return data.hex(" ")


def differing(expected: bytes, found: bytes) -> list[bool]:
    """For each index of the longer one: whether the bytes differ (a missing byte does)."""
    length = max(len(expected), len(found))
    return [expected[i : i + 1] != found[i : i + 1] for i in range(length)]


def hex_marks(expected: bytes, found: bytes) -> str:
    """A line of ``^^`` that stands under the differing bytes of two ``hex_bytes`` lines."""
    return " ".join("^^" if bad else "  " for bad in differing(expected, found)).rstrip()


def address(value: int) -> str:
    """A guest physical address."""
    return f"0x{value:09x}"


def frame(pfn: int) -> str:
    """A page frame number, as the kernel prints it and as people count."""
    return f"0x{pfn:x} ({pfn})"


def known(result: RunResult, check_known: Sequence[str]) -> str:
    """The pages of the known defects that explain a check; their names where a page is not told."""
    pages = {defect.id: defect.page for defect in result.known_defects}
    return ", ".join(clean_line(pages.get(name, name)) for name in check_known)


def known_defect(defect: KnownDefect) -> str:
    """A known defect and what came of it, in a line."""
    if not defect.shown:
        outcome = "did not show"
    elif defect.explains:
        outcome = "explains: " + "; ".join(defect.explains)
    else:
        outcome = "shown"
    return clean_line(f"{defect.summary} ({defect.page}): {outcome}")


def place(finding: Finding) -> str:
    """Cycle and life of a finding, as far as they are known."""
    parts = []
    if finding.cycle:
        parts.append(f"cycle {finding.cycle}")
    if finding.life:
        parts.append(f"life {finding.life}")
    return ", ".join(parts)


def differing_count(finding: Finding) -> str:
    """How many bytes of the page differ; empty where nobody counted."""
    if finding.differing_bytes is None:
        return ""
    number = finding.differing_bytes
    return f"{count(number, 'byte')} of {PAGE_SIZE:,} {'differs' if number == 1 else 'differ'}"
