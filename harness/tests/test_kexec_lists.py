# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of kexec-load's page lists, on lists that the model wrote: right ones pass, and each
fault is found by the check that is there for it, at the word that is wrong.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.kexec.calls import PAGE, Call
from harness.kexec.list_checks import CONTENT, DESTINATIONS, PREDICTED, WELL_FORMED, ListChecker
from harness.kexec.random_calls import right_segments
from harness.kexec.shapes import Shape, entries_per_page, overlapping, shapes
from harness.kexec.tampers import (
    EACH_CHECK,
    FULL,
    KEXEC_TAMPERS,
    ONE,
    SEVERAL,
    THREE,
    tampers_named,
)
from harness.paths import TREE
from harness.tests.kexec_rig import KERNELS, RAM, LoadedImage, loaded

pytestmark = pytest.mark.timeout(120)

ALL = [WELL_FORMED, CONTENT, DESTINATIONS, PREDICTED]
OF_LISTS = [tamper for tamper in KEXEC_TAMPERS.values() if tamper.shape]
SHAPES = [shape.name for shape in shapes(RAM, Random(0), 8)]
seeds = st.integers(0, (1 << 32) - 1)


@pytest.mark.parametrize("release, arch", KERNELS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_right_list_passes_every_check(release: str, arch: str, name: str) -> None:
    image = loaded(release, arch, name, seed=11)
    checks = image.checks()
    assert [check.name for check in checks] == ALL
    assert all(check.passed for check in checks), [check.detail for check in checks]
    pages = sum(segment.pages for segment in image.shape.segments)
    assert [check.compared for check in checks[1:3]] == [pages, pages]


@pytest.mark.parametrize("release, arch", [KERNELS[1], KERNELS[3], KERNELS[6]])
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_random_right_lists_pass(release: str, arch: str, seed: int) -> None:
    random = Random(seed)
    segments = tuple(right_segments(random, 8 << 20, random.randrange(1, 17)))
    image = LoadedImage(release, arch, Shape(Call("random", segments)), random)
    failed = [check.detail for check in image.checks() if not check.passed]
    assert not failed, failed


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
@pytest.mark.parametrize("name", [tamper.name for tamper in OF_LISTS])
def test_each_fault_is_found_where_it_is_promised(name: str, arch: str) -> None:
    tamper = KEXEC_TAMPERS[name]
    for seed in range(3):
        image = loaded("6.1.192", arch, tamper.shape, seed)
        site = image.site(seed)
        tamper.at_loaded(site)
        tamper.at_trace(site)
        assert site.done, "nothing was done"
        failed = [check for check in image.checks(site.trace) if not check.passed]
        assert failed and failed[0].name.startswith(tamper.check), (seed, site.done, failed)
        finding = failed[0].findings[0]
        assert (finding.oracle, finding.stage) == (tamper.oracle, tamper.stage), seed
        site.undo()
        assert all(check.passed for check in image.checks()), f"seed {seed}: it was not put back"


def test_the_page_on_kexec_load_tells_of_every_fault() -> None:
    page = (TREE / "docs" / "kexec-load.md").read_text()
    rows = set(re.findall(r"^\| ([a-z-]+)( \\\*)? \| ", page, re.MULTILINE))
    each = {tamper.name for tamper in tampers_named(EACH_CHECK)}
    assert {(name, r" \*" if name in each else "") for name in KEXEC_TAMPERS} <= rows


def test_faults_of_lists_are_about_every_check() -> None:
    assert {check for check in ALL for t in OF_LISTS if check.startswith(t.check)} == set(ALL)
    assert {tamper.shape for tamper in OF_LISTS} == {ONE, SEVERAL, FULL, THREE} <= set(SHAPES)


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_bit_of_a_list_can_be_wrong(arch: str, data: st.DataObject) -> None:
    image = _three(arch)
    page, words = data.draw(st.sampled_from(image.made.list_pages))
    index = data.draw(st.integers(0, len(words) - 1))
    bit = data.draw(st.integers(0, 8 * image.view.word - 1))
    site = image.site(0)
    site.change(page + index * image.view.word, words[index] ^ 1 << bit)
    try:
        failed = [check for check in image.checks() if not check.passed]
    finally:
        site.undo()
    assert failed, site.done
    # A list whose first word is wrong is blamed there, and nothing that it implies comes before.
    assert all(check.findings for check in failed)


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_wrong_byte_is_named_exactly(arch: str, data: st.DataObject) -> None:
    image = _three(arch)
    moves = image.model.read(image.view, image.image).moves
    number = data.draw(st.integers(0, len(moves) - 1))
    offset = data.draw(st.integers(0, PAGE - 1))
    gpa = moves[number][1] + offset
    right = image.view.memory[gpa]
    image.view.memory[gpa] = right ^ data.draw(st.integers(1, 255))
    try:
        (failed,) = [check for check in image.checks() if not check.passed]
    finally:
        image.view.memory[gpa] = right
    (finding,) = failed.findings
    assert (failed.name, finding.gpa, finding.differing_bytes) == (CONTENT, gpa, 1)
    assert finding.expected is not None and finding.found is not None
    assert finding.expected[0] == right != finding.found[0]
    assert finding.owner is not None and f"word {_word_of(image, number)} " in finding.owner


@cache
def _three(arch: str) -> LoadedImage:
    """Every example leaves it as it found it."""
    return loaded("6.1.192", arch, THREE, seed=3)


def _word_of(image: LoadedImage, move: int) -> int:
    """Which word of its list page holds the source of a move."""
    entry = 0
    for segment in image.shape.segments:
        entry += 1
        if move < segment.pages:
            break
        move -= segment.pages
        entry += segment.pages
    return (entry + move) % entries_per_page(image.view.word)


def test_control_pages_are_compared_too() -> None:
    image = loaded("6.1.192", "x86_64", SEVERAL, seed=5)
    wrong = replace(image.made, control=[gpa + PAGE for gpa in image.made.control])
    checker = ListChecker(image.model, image.view, image.shape, image.image, 1)
    check = checker.check_prediction(wrong, image.made.used)
    named = [finding.message.split(":")[1].strip() for finding in check.findings]
    assert named[:3] == ["control code page", "swap page", "page table"], check.findings
    fewer = replace(image.made, control=image.made.control[:-1])
    assert "4 control pages, found 5" in checker.check_prediction(fewer, image.made.used).detail


def test_frames_that_nobody_needed_are_told() -> None:
    image = loaded("6.1.192", "x86_64", ONE, seed=5)
    spare = replace(image.trace[-1], first=0x200)
    assert "the model needs 7 of the 8 frames" in image.checks([*image.trace, spare])[-1].detail
    assert "no list can be built" in image.checks(image.trace[:-1])[-1].detail


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_segments_over_frames_that_come_again_overlap_nowhere(seed: int) -> None:
    random = Random(seed)
    sources = [pfn * PAGE for pfn in random.sample(range(0x100, 0x2000), 96)]
    shape = overlapping(sources, RAM, random)
    pages = [s.mem + index * PAGE for s in shape.segments for index in range(s.pages)]
    assert len(set(pages)) == len(pages) and len(shape.segments) <= 16
    assert set(pages) & set(sources)
