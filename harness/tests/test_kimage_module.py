# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python module jumpback_kimage: what is built reads back, what is malformed is told at its
place, wrong input raises, and none ends the process."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jumpback_kimage as kimage

PAGE = 4096
RAM_PAGES = 512
DESTINATION, INDIRECTION, DONE, SOURCE = 1, 2, 4, 8
CONDITIONS = {"totalram_pages": RAM_PAGES}
ROWS = kimage.versions()
WORD = {"x86_64": 8, "i386": 4}
SETTINGS = settings(deadline=None, max_examples=100, print_blob=True)


class Ram:
    """Guest RAM of which list pages are written word by word."""

    def __init__(self, arch: str) -> None:
        self.bytes = bytearray(RAM_PAGES * PAGE)
        self.arch = arch

    def write(self, gpa: int, words: list[int]) -> None:
        data = struct.pack(f"<{len(words)}{'Q' if WORD[self.arch] == 8 else 'I'}", *words)
        self.bytes[gpa : gpa + len(data)] = data

    def decode(self, head: int, kept: tuple[tuple[int, str], ...] = ()) -> kimage.Decoded:
        return kimage.decode(self.bytes, [], head, self.arch, kept)


def but(result: Mapping[str, object], **changes: object) -> dict[str, object]:
    return {**result, **changes}


def random_segments(rng: random.Random) -> list[kimage.Segment]:
    """Disjoint ones in any order, some empty, with buffers of all lengths."""
    segments = []
    at = 16
    for _ in range(rng.randrange(1, 9)):
        at += rng.randrange(0, 12)
        pages = rng.choice((0, 1, 1, 2, 5, 20))
        size = pages * PAGE
        segments.append((rng.randrange(0, size + 1), at * PAGE, size))
        at += max(pages, 1)
    rng.shuffle(segments)
    return segments


def random_trace(
    rng: random.Random, version: str, arch: str, segments: list[kimage.Segment]
) -> list[tuple[int, int]]:
    """All frames of RAM in random order: blocks until one is the control code page, then single."""
    order = 1 if (version, arch) in (("5.10", "x86_64"), ("6.1", "x86_64")) else 0
    blocks = list(range(0, RAM_PAGES, 1 << order))
    rng.shuffle(blocks)
    taken, refused = kimage.choose_control(version, arch, {}, segments, blocks, order)
    assert taken is not None
    single = [pfn for pfn in range(RAM_PAGES) if pfn >> order != taken >> order]
    rng.shuffle(single)
    return [(pfn, order) for pfn in (*refused, taken)] + [(pfn, 0) for pfn in single]


@pytest.mark.parametrize(("version", "arch"), ROWS)
@SETTINGS
@given(seed=st.integers(0, 1 << 32))
def test_what_is_built_reads_back(version: str, arch: str, seed: int) -> None:
    rng = random.Random(seed)
    segments = random_segments(rng)
    trace = random_trace(rng, version, arch, segments)
    assert kimage.check_load(version, arch, {}, CONDITIONS, 0, 0, segments)["result"] == 0
    built = kimage.build(version, arch, {}, segments, trace, tables=3)
    assert (built["error"], built["text"], built["misfit"]) == (0, "", None)

    linear = kimage.build(version, arch, {}, segments, trace, tables=3, lookup="linear")
    assert but(linear, steps=0) == but(built, steps=0)

    ram = Ram(arch)
    for gpa, words in built["list_pages"]:
        ram.write(gpa, words)
    kept = [built["control_code"], built["swap"], *built["page_tables"]]
    read = ram.decode(built["head"], tuple((gpa, "kept") for gpa in kept if gpa is not None))
    assert "kind" not in read, read["message"]
    assert read["moves"] == built["moves"]
    assert read["move_count"] == len(built["moves"])
    assert read["list_pages"] == [gpa for gpa, _ in built["list_pages"]]
    assert read["words"] == sum(len(words) for _, words in built["list_pages"])
    assert read["lone"] == sum(size == 0 for _, _, size in segments)

    destinations = [mem + at for _, mem, size in segments for at in range(0, size, PAGE)]
    assert [to for to, _ in read["moves"]] == destinations
    sources = [source for _, source in read["moves"]]
    assert len(set(sources)) == len(sources)
    assert all(to == source or source not in destinations for to, source in read["moves"])


def sound_list() -> tuple[Ram, list[int]]:
    """Two moves, one of them in place, and the words of their list page at 0x10000."""
    words = [0x20000 | DESTINATION, 0x30000 | SOURCE, 0x21000 | SOURCE, DONE]
    return Ram("x86_64"), words


Mend = Callable[[list[int]], None]


def put(index: int, word: int) -> Mend:
    def change(words: list[int]) -> None:
        words[index] = word

    return change


@pytest.mark.parametrize(
    ("change", "kind", "index"),
    [
        (put(0, 0x20000 | SOURCE), "no-destination", 0),
        (put(1, 0x30000), "unknown-word", 1),
        (put(1, 0), "no-end", 1),
        (put(1, 0x30000 | SOURCE | DONE), "ambiguous-word", 1),
        (put(1, 0x30010 | SOURCE), "ambiguous-word", 1),
        (put(1, RAM_PAGES * PAGE | SOURCE), "source-out-of-ram", 1),
        (put(0, (RAM_PAGES - 1) * PAGE | DESTINATION), "destination-out-of-ram", 2),
        (put(2, 0x30000 | SOURCE), "source-twice", 2),
        (put(1, 0x21000 | SOURCE), "source-twice", 2),
        (put(1, 0x10000 | SOURCE), "list-page-is-source", 1),
        (put(0, 0x10000 | DESTINATION), "list-page-is-destination", 1),
        (put(0, 0x2F000 | DESTINATION), "source-is-destination", 1),
        (put(2, 0x40000 | SOURCE), "kept-frame-is-source", 2),
        (put(0, 0x3F000 | DESTINATION), "kept-frame-is-destination", 2),
        (put(3, 0x10000 | INDIRECTION), "cycle", 3),
        (put(3, 0x11000 | INDIRECTION), "link-inside-page", 3),
        (put(3, 1 << 40 | INDIRECTION), "list-page-out-of-ram", 3),
    ],
)
def test_a_malformed_list_is_told_at_its_word(change: Mend, kind: str, index: int) -> None:
    ram, words = sound_list()
    ram.write(0x10000, words)
    kept = ((0x40000, "swap page"),)
    assert "kind" not in ram.decode(0x10000 | INDIRECTION, kept)
    change(words)
    ram.write(0x10000, words)
    read = ram.decode(0x10000 | INDIRECTION, kept)
    assert (read.get("kind"), read.get("list_page"), read.get("index")) == (kind, 0x10000, index)
    assert read["raw"] == words[index]
    assert "0x10000" in read["message"] and f"word {index}" in read["message"]


def test_the_rest_of_what_can_be_wrong() -> None:
    ram, words = sound_list()
    read = ram.decode(0x10000 | SOURCE)
    assert (read["kind"], read["list_page"]) == ("head-no-list", None)
    assert ram.decode(DONE)["moves"] == []
    ram.write(0x10000, words)
    read = ram.decode(0x10000 | INDIRECTION, ((0x10000, "page table"),))
    assert read["kind"] == "kept-frame-is-list-page"
    assert "page table 0x10000" in read["message"]
    twice = [*words[:3], 0x20000 | DESTINATION, 0x31000 | SOURCE, DONE]
    ram.write(0x10000, twice)
    read = ram.decode(0x10000 | INDIRECTION)
    assert (read["kind"], read["index"]) == ("destination-twice", 4)


def test_a_list_that_runs_off_its_page() -> None:
    ram = Ram("i386")
    ram.write(0x10000, [0x40000 | DESTINATION] * 1024)
    read = ram.decode(0x10000 | INDIRECTION)
    assert (read["kind"], read["index"]) == ("runs-off-page", 1023)


@SETTINGS
@given(
    words=st.lists(
        st.one_of(
            st.integers(0, (1 << 64) - 1),
            st.builds(
                lambda pfn, flag: int(pfn * PAGE | flag),
                st.integers(0, 20),
                st.sampled_from((DESTINATION, INDIRECTION, DONE, SOURCE)),
            ),
        ),
        max_size=512,
    ),
    head=st.integers(0, (1 << 64) - 1),
    strict=st.booleans(),
    layout=st.booleans(),
    arch=st.sampled_from(("x86_64", "i386")),
)
def test_any_words_are_read_to_an_end(
    words: list[int], head: int, strict: bool, layout: bool, arch: str
) -> None:
    """Each list page holds the same words, so links lead on for long."""
    ram = bytearray(16 * PAGE)
    data = struct.pack(f"<{len(words)}Q", *words)
    for pfn in range(16):
        ram[pfn * PAGE : pfn * PAGE + len(data)] = data
    for start in (head, 0x3000 | INDIRECTION):
        read = kimage.decode(ram, [], start, arch, strict_words=strict, kernel_layout=layout)
        assert read["move_count"] == len(read["moves"]) <= 16
        assert len(read["list_pages"]) <= 16
        if "kind" in read:
            assert read["message"]
        counted = kimage.decode(
            ram, [], start, arch, strict_words=strict, kernel_layout=layout, keep_moves=False
        )
        assert but(counted) == but(read, moves=[])


GOOD: dict[str, Any] = {
    "release": "6.1",
    "arch": "x86_64",
    "setup": {},
    "segments": [(0, 0x20000, PAGE)],
    "trace": [(64, 1), (66, 0), (67, 0), (68, 0)],
}


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"release": "next"}, 'kernel release "next"', "two numbers"),
        ({"arch": "sparc"}, "architecture sparc", "x86_64 or i386"),
        ({"setup": {"page_offset": "low"}}, 'setup["page_offset"]', "expected a number"),
        ({"setup": {"kexec_jump": 3}}, 'setup["kexec_jump"]', "expected True or False"),
        ({"setup": {"pages": 3}}, "setup", "'pages'"),
        ({"segments": [(0, 0x20001, PAGE)]}, "segments", "alignment"),
        ({"segments": [(0, 0x20000, PAGE), (0, 0x20000, PAGE)]}, "segments", "segment 1"),
        ({"segments": [(PAGE + 1, 0x20000, PAGE)]}, "segments", "buffer-larger"),
        ({"segments": [(0, (1 << 64) - PAGE, 2 * PAGE)]}, "segments", "wraps"),
        ({"trace": [(64, 1), (66, 50)]}, "allocation 1", "order 50"),
        ({"trace": [(1 << 60, 0)]}, "allocation 0", "no page allocator"),
        ({"lookup": "fast"}, 'lookup "fast"', "linear or hashed"),
    ],
)
def test_wrong_input_raises_and_names_the_place(
    change: dict[str, Any], where: str, what: str
) -> None:
    assert kimage.build(**GOOD)["error"] == 0
    with pytest.raises(kimage.KimageError) as caught:
        kimage.build(**{**GOOD, **change})
    assert caught.value.where == where
    assert what in caught.value.what
    assert str(caught.value) == f"{where}: {caught.value.what}"


def test_wrong_conditions_and_regions_raise() -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"totalram_pages": -1}, 'conditions["totalram_pages"]'),
        ({"crash": (1, 2, 3)}, 'conditions["crash"]'),
        ({"crash_region": (1, 2)}, "conditions"),
    ]
    for conditions, where in wrong:
        with pytest.raises(kimage.KimageError) as caught:
            kimage.check_load("6.1", "x86_64", {}, conditions, 0, 0, [])
        assert caught.value.where == where
    for regions in ([(0, 0, 2 * PAGE)], [(1, 0, PAGE)], [(0, 0, PAGE)] * 2):
        with pytest.raises(kimage.KimageError):
            kimage.decode(bytes(PAGE), regions, DONE, "x86_64")
    with pytest.raises(BufferError):
        kimage.decode(memoryview(bytes(2 * PAGE))[::2], [], DONE, "x86_64")
    no_buffers: list[Any] = [None, "text", 7]
    for bad in no_buffers:
        with pytest.raises(TypeError):
            kimage.decode(bad, [], DONE, "x86_64")


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (0, 1 << 64, 0), ("a", 0, 0), (0, 0)])
def test_a_segment_that_is_none_is_a_type_error(numbers: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        segments: Any = [numbers]
        kimage.check_load("6.1", "x86_64", {}, CONDITIONS, 0, 0, segments)


def test_a_load_of_all_addresses_ends_for_want_of_frames() -> None:
    """As large as the address limit allows: what it claims takes no memory."""
    trace = [(pfn, 1) for pfn in range(0, 50, 2)]
    built = kimage.build("6.1", "x86_64", {}, [(0, 0, (1 << 46) - PAGE)], trace)
    assert (built["error"], built["used"]) == (12, 25)
    assert "control code page" in built["text"]


def test_a_trace_of_another_load_is_told() -> None:
    wrong: dict[str, Any] = {**GOOD, "trace": [(64, 1), (66, 1)]}
    built = kimage.build(**wrong)
    assert (built["error"], built["misfit"], built["used"]) == (12, 1, 1)
    assert "swap page" in built["text"]


@pytest.mark.parametrize(("version", "arch"), ROWS)
def test_a_verdict_names_check_function_and_segment(version: str, arch: str) -> None:
    def call(segments: list[kimage.Segment], **conditions: object) -> kimage.Verdict:
        return kimage.check_load(version, arch, {}, {**CONDITIONS, **conditions}, 0, 0, segments)

    one, other = (1, 0x20000, PAGE), (0, 0x30000, PAGE)
    good = call([one, other])
    assert (good["result"], good["check"], good["function"]) == (0, "none", "")
    verdict = call([one, other, one])
    assert (verdict["errno"], verdict["check"]) == ("EINVAL", "overlap")
    assert (verdict["segment"], verdict["other"]) == (2, 0)
    assert verdict["function"] == "sanity_check_segment_list()"
    verdict = call([one, other], unreadable_buffer=0)
    assert (verdict["errno"], verdict["function"]) == ("EFAULT", "kimage_load_segment()")
    late = call([one], locked=True, segments_readable=False)
    assert late["errno"] == ("EBUSY" if version == "5.10" else "EFAULT")
    covers = call([(0, 0, 0)])
    assert covers["errno"] == ("" if version in ("5.10", "6.1") else "ENOMEM")
    assert call([], locked=False)["unloads"]
    spent = call([one], load_limit=0)
    assert spent["errno"] == ("" if version in ("5.10", "6.1") else "EPERM")


def test_a_version_without_rules_says_whose_stand_in() -> None:
    assert kimage.check_load("6.6.1", "i386", {}, CONDITIONS, 0, 0, [])["note"] == (
        "no rules of 6.6: those of 6.1 stand in"
    )


def test_control_pages_keep_clear_of_destinations() -> None:
    def choose(pfns: list[int], order: int) -> tuple[int | None, list[int]]:
        segments = [(0, 17 * PAGE, PAGE)]
        return kimage.choose_control("6.1", "x86_64", {}, segments, pfns, order)

    assert choose([16, 18], 1) == (18, [16])
    assert choose([16, 18], 0) == (16, [])
    assert choose([17, 17], 0) == (None, [17, 17])
    assert choose([], 0) == (None, [])
