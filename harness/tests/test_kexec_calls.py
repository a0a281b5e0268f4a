# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of kexec-load without a boot: on their way through the loader's own parser (which is
never let call the kernel here, --dry-run), and what the model expects of them.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agent_frames import MAX_REQUEST, escape
from harness.errors import GuestBroken
from harness.kexec.answers import check_answers
from harness.kexec.call_checks import CRASH_LIMIT, LIMIT
from harness.kexec.calls import PAGE, Call, Content, Segment, pattern
from harness.kexec.guest_view import Conditions
from harness.kexec.loader import GUEST_PATH, batches, build_loader, parse_answers
from harness.kexec.model import Answer, CallState, Model
from harness.kexec.orders import order_calls
from harness.kexec.random_calls import random_calls
from harness.kexec.shapes import shapes
from harness.kexec.table import Room, edge_calls, few_calls, helper_calls
from harness.tests.kexec_rig import KERNELS

pytestmark = pytest.mark.timeout(60)


def _room(arch: str) -> Room:
    crash = (0xD000000, 0xEFFFFFF)
    lowmem = 1 << 52 if arch == "x86_64" else 0xFFE0
    return Room(arch, Conditions(57870, crash, False, 0xC0000000, True, lowmem))


def _dry_run(*calls: str) -> subprocess.CompletedProcess[str]:
    command = [str(build_loader("x86_64")), "--dry-run", *calls]
    return subprocess.run(command, capture_output=True, text=True)


def _described(call: Call) -> str:
    """The loader's own account of a call."""
    array = call.array or ("null" if call.unload else "here")
    words = [f"entry={_hex(call.entry)} flags={_hex(call.flags)} nr={call.number} array={array}"]
    for segment in call.segments:
        sizes = ":".join(_hex(n) for n in (segment.mem, segment.memsz, segment.bufsz))
        words.append(f"seg={sizes}:{segment.content.text}")
    return " ".join(words)


def _hex(number: int) -> str:
    """As C's %#x has it."""
    return f"{number:#x}" if number else "0"


numbers = st.integers(0, (1 << 64) - 1)
contents = st.one_of(
    st.builds(Content, seed=numbers),
    st.builds(Content, seed=numbers, readable=st.sampled_from([PAGE, 3 * PAGE])),
    st.builds(Content, data=st.binary(max_size=20)),
    st.builds(Content, data=st.just(b""), path=st.just("/a/b.c"), offset=numbers),
    st.builds(Content, pointer=st.sampled_from(["null", "bad", "kernel"])),
)
segments = st.builds(Segment, mem=numbers, memsz=numbers, bufsz=numbers, content=contents)
calls = st.builds(
    Call,
    name=st.just("any"),
    segments=st.lists(segments, max_size=20).map(tuple),
    flags=numbers,
    entry=numbers,
    nr=st.one_of(st.none(), numbers),
    array=st.sampled_from(["", "null", "bad", "kernel", "cut@0", "cut@3"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(calls, min_size=1, max_size=8))
def test_the_loader_reads_what_is_written(made: list[Call]) -> None:
    ran = _dry_run(*(call.text for call in made))
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.split("\n")
    assert lines[: len(made)] == [f"{i} {_described(call)}" for i, call in enumerate(made)]
    assert lines[len(made)] == "done 0"  # calls that were made


@pytest.mark.parametrize(
    "call, complaint",
    [
        ("", "begins with load or unload"),
        ("kexec", "begins with load or unload"),
        ("load nonsense", "key=value"),
        ("load what=1", "the words of load are"),
        ("unload seg=0:0", "the words of unload are"),
        ("load flags=-1", "flags is a number"),
        ("load flags=0x", "flags is a number"),
        ("load entry=0x10000000000000000", "entry is a number"),
        ("load seg=0x1000", "DEST:MEMSZ"),
        ("load seg=1:2:3:p1:5", "four fields"),
        ("load seg=1:2:x", "BUFSZ"),
        ("load seg=1:2:3:p1@5", "whole pages"),
        ("load seg=1:2:3:what", "content is"),
        ("load seg=1:2:3:f", "content is"),
        ("load seg=1:2:3:f@0", "content is"),
        ("load seg=1:2:3:f/a@b", "content is"),
        ("load seg=1:2:3:x0", "content is"),
        ("load seg=1:2:3:xAB", "content is"),
        ("load array=cut@33", "32 at most"),
        ("load array=p1", "array is null"),
        ("load array=x01", "array is null"),
        ("load " + "seg=0:0 " * 33, "more than 32"),
    ],
)
def test_the_loader_refuses_nonsense(call: str, complaint: str) -> None:
    ran = _dry_run("unload", call, "unload")
    assert ran.returncode == 2 and "call 1: " in ran.stderr and complaint in ran.stderr
    assert ran.stdout.count("\n") == 1  # nothing after it is done


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 0 0\n",
        "0 0 0\n1 -1 EINVAL\n",
        "0 0 0\n1 -1 EINVAL\ndone 1\n",
        "0 0 0\n2 -1 EINVAL\ndone 2\n",
        "0 0 EINVAL\n1 0 0\ndone 2\n",
        "0 -1 0\n1 0 0\ndone 2\n",
        "0 1 0\n1 0 0\ndone 2\n",
        "garbage\n0 0 0\n1 0 0\ndone 2\n",
    ],
)
def test_answers_that_are_not_all_there_are_no_answers(text: str) -> None:
    with pytest.raises(GuestBroken):
        parse_answers(text, 2)
    assert parse_answers("0 0 0\n1 -1 EINVAL\ndone 2\n", 2) == ["0", "EINVAL"]


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_calls_fit_the_agents_line_and_the_kernels_words(arch: str) -> None:
    room = _room(arch)
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    made = [*edge_calls(room), *order_calls(room), *random_calls(room, Random(seed), 3000)]
    for batch in batches(made):
        command = " ".join(["exec", GUEST_PATH, *(call.text for call in batch)])
        assert (
            len(f"REQ 0123456789-1234 RUN timeout_ms=60000 command={escape(command)}")
            <= MAX_REQUEST
        )
    for call in made:
        for segment in call.segments:
            assert 0 <= min(segment.mem, segment.memsz, segment.bufsz), call
            assert max(segment.mem, segment.memsz, segment.bufsz) <= room.word_max, call
    assert sum(len(batch) for batch in batches(made)) == len(made)


@pytest.mark.parametrize("word", [8, 4])
def test_shapes_fill_list_pages_to_the_edge(word: int) -> None:
    full = PAGE // word - 1
    sizes = {
        shape.name: sum(1 + segment.pages for segment in shape.segments)
        for shape in shapes(256 << 20, Random(1), word)
    }
    assert sizes["a full list page"] == full and sizes["one entry more"] == full + 1
    assert sizes["empty segment on a new list page"] == full + 1
    assert 2 * full < sizes["three list pages"] <= 3 * full


def test_patterns_have_no_word_twice() -> None:
    words = set()
    for seed in (0, 1, 2, 1 << 31):
        data = pattern(seed, 0, 4 * PAGE)
        assert data[PAGE : PAGE + 24] == pattern(seed, PAGE, 24)
        words |= {data[i : i + 8] for i in range(0, len(data), 8)}
    assert len(words) == 4 * 4 * PAGE // 8


def test_pages_end_in_zeros_behind_the_buffer() -> None:
    segment = Segment(0x1000, 3 * PAGE, PAGE + 5, Content(9))
    assert segment.page(0) == pattern(9, 0, PAGE)
    assert segment.page(1) == pattern(9, PAGE, 8)[:5] + bytes(PAGE - 5)
    assert segment.page(2) == bytes(PAGE)


# What the model expects

EVERYWHERE = {
    "permission",
    "locked",
    "flags",
    "segment-count",
    "architecture",
    "segments-unreadable",
    "crash-entry",
    "wraps",
    "alignment",
    "overlap",
    "buffer-larger",
    "segment-pages",
    "total-pages",
    "crash-region",
    "buffer-unreadable",
}


def _answers(release: str, arch: str) -> list[Answer]:
    """Of all that is called in a run, but for the random calls."""
    room = _room(arch)
    model = Model(release, arch, room.conditions)
    calls = [*edge_calls(room), *order_calls(room), *helper_calls()]
    answers = [model.answer(call, CallState()) for call in calls]
    for state in (
        CallState(disabled=True),
        CallState(locked=True),
        CallState(limit=LIMIT, crash_limit=CRASH_LIMIT),
    ):
        answers += [model.answer(call, state) for call in few_calls(room)]
    return answers


@pytest.mark.parametrize("release, arch", KERNELS)
def test_calls_are_refused_by_every_check(release: str, arch: str) -> None:
    refused = Counter(answer.check for answer in _answers(release, arch))
    wanted = set(EVERYWHERE)
    if arch == "x86_64":  # on i386 whole pages cannot end beyond the limit without wrapping
        wanted.add("destination-limit")
    if not release.startswith(("5.10", "6.1.")):  # inclusive ranges; sysctl kexec_load_limit_*
        wanted |= {"no-control-page", "load-limit"}
    assert set(refused) == wanted | {""}, refused


def test_calls_tell_generations_apart() -> None:
    """Where kexec_load differs, a model of the wrong version must be found by the table."""
    answers = {release: _answers(release, arch) for release, arch in KERNELS if arch == "x86_64"}
    for one, other in combinations(answers, 2):
        differing = sum(a.error != b.error for a, b in zip(answers[one], answers[other]))
        same_rules = {one, other} <= {"6.12.117", "7.2.13", "7.3"}
        assert (differing == 0) == same_rules, (one, other, differing)


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
@pytest.mark.parametrize("pages", [-2, 2])
def test_calls_tell_two_pages_of_ram(arch: str, pages: int) -> None:
    """The sizes of the calls come from the one number, what they must return from the other."""
    room = _room(arch)
    told = Conditions(
        room.conditions.totalram_pages + pages,
        room.conditions.crash,
        False,
        0xC0000000,
        True,
        room.conditions.lowmem_end,
    )
    right, wrong = (Model("6.1.192", arch, each) for each in (room.conditions, told))
    calls = edge_calls(room)
    assert any(
        right.answer(call, CallState()).error != wrong.answer(call, CallState()).error
        for call in calls
    )


@pytest.mark.parametrize(
    "name, error, check, function",
    [
        ("flags: plain", "0", "", ""),
        ("flags: first unknown flag", "EINVAL", "flags", "kexec_load_check()"),
        ("count: 17", "EINVAL", "segment-count", "kexec_load_check()"),
        ("flags: other architecture", "EINVAL", "architecture", "kexec_load()"),
        ("segments: bad", "EFAULT", "segments-unreadable", "kexec_load()"),
        ("address: odd start", "EADDRNOTAVAIL", "alignment", "sanity_check_segment_list()"),
        ("overlap: the same", "EINVAL", "overlap", "sanity_check_segment_list()"),
        ("buffer: one byte too many", "EINVAL", "buffer-larger", "sanity_check_segment_list()"),
        ("size: half and a page", "EINVAL", "segment-pages", "sanity_check_segment_list()"),
        ("crash: entry behind", "EADDRNOTAVAIL", "crash-entry", "kimage_alloc_init()"),
        ("crash: outside", "EADDRNOTAVAIL", "crash-region", "sanity_check_segment_list()"),
        ("buffer: cut in the middle", "EFAULT", "buffer-unreadable", "kimage_load_segment()"),
    ],
)
def test_some_answers_by_hand(name: str, error: str, check: str, function: str) -> None:
    room = _room("x86_64")
    (call,) = (call for call in edge_calls(room) if call.name == name)
    answer = Model("6.1.192", "x86_64", room.conditions).answer(call, CallState())
    assert (answer.error, answer.check, answer.function) == (error, check, function)


def test_a_wrong_answer_is_told_with_all_that_makes_it_again() -> None:
    call = Call("odd", (Segment(0x1001, PAGE, PAGE, Content(7)),))
    want = Answer("EADDRNOTAVAIL", "alignment", "sanity_check_segment_list()", "segment 0 is odd")
    right = (call, want, "EADDRNOTAVAIL")
    assert check_answers("calls", "calls", 1, [right, right]).passed
    check = check_answers("calls", "calls", 1, [right, (call, want, "0")])
    (finding,) = check.findings
    assert not check.passed and check.compared == 2 and finding.stage == "calls"
    assert finding.message == (
        "odd: expected EADDRNOTAVAIL (check 'alignment' in sanity_check_segment_list(): "
        "segment 0 is odd), found success; the call: load,seg=0x1001:0x1000:0x1000:p7"
    )


def test_names_of_calls_say_which() -> None:
    """A finding names its call: two of one name could not be told apart."""
    for arch in ("x86_64", "i386"):
        room = _room(arch)
        names = Counter(call.name for call in [*edge_calls(room), *order_calls(room)])
        assert [name for name, count in names.items() if count > 1] == []
