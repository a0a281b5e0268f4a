# SPDX-License-Identifier: GPL-2.0-or-later
"""kexec-load: what must be proved on real kernels is, and each fault put in is found and blamed.

Without a boot: the calls' way through the loader's own parser, which is never let call the kernel
here (--dry-run).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios.tests.conftest import Ran

from harness.agent_frames import MAX_REQUEST, escape
from harness.errors import GuestBroken
from harness.kexec.calls import PAGE, Call, Content, Segment, pattern
from harness.kexec.guest_view import Conditions
from harness.kexec.loader import GUEST_PATH, batches, build_loader, parse_answers
from harness.kexec.orders import order_calls
from harness.kexec.random_calls import random_calls
from harness.kexec.shapes import shapes
from harness.kexec.table import Room, edge_calls
from harness.kexec.tampers import KEXEC_TAMPERS
from harness.paths import TREE

pytestmark = pytest.mark.timeout(600)

# What every proved run must have; a check that quietly stops being made is a defect.
CHECKS = {
    "refused calls leave the loaded image alone": 1,
    "calls return what the model says": 2,
    "page lists are well formed": 15,
    "page lists name the segments' destinations": 15,
    "source pages hold the segments' bytes": 15,
    "page lists are those predicted from the allocator's frames": 5,
    "unloading gives back every frame": 1,
    "the kernel's log is clean": 1,
}

CASES = [
    pytest.param(["--kernel", "6.1"], id="6.1"),
    pytest.param(["--kernel", "6.1", "--arch", "i386"], id="6.1-i386"),
    pytest.param(["--kernel", "5.10"], id="5.10"),
    pytest.param(["--kernel", "6.12"], id="6.12"),
    pytest.param(["--kernel", "7.2"], id="7.2"),
    pytest.param(["--kernel", "7.3"], id="7.3"),
    pytest.param(["--crash-region", "no"], id="6.1-no-crash-region"),
    pytest.param(["--memory", "64", "--cpus", "2"], id="6.1-64-MiB-smp"),
    pytest.param(["--arch", "i386", "--memory", "1500"], id="6.1-i386-high-memory"),
]


@pytest.fixture(name="kexec_load")
def _kexec_load(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `jumpback run kexec-load ARGS --json` with the modules that this test has."""

    def run(*arguments: str) -> Ran:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        argv = [sys.executable, "-m", "harness", "run", "kexec-load", *arguments]
        answer = subprocess.run(
            [*argv, "--json", "--quiet", "--out", str(out)],
            cwd=TREE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert answer.stdout, f"exit {answer.returncode}, no JSON:\n{answer.stderr}"
        return Ran(answer.returncode, json.loads(answer.stdout), out, answer.stderr)

    return run


@pytest.mark.boots
@pytest.mark.parametrize("arguments", CASES)
def test_the_model_holds_on_a_running_kernel(
    kexec_load: Callable[..., Ran], arguments: list[str]
) -> None:
    ran = kexec_load(*arguments)
    assert ran.document["verdict"] == "PASS" and ran.exit == 0, ran.summary()
    made: dict[str, int] = {}
    for check in ran.document["checks"]:
        made[check["name"]] = made.get(check["name"], 0) + 1
        assert check["compared"] > 0, check
    assert all(made.get(name, 0) >= count for name, count in CHECKS.items()), made
    # The path on which an allocated page is the destination of one that was loaded before.
    assert int(ran.document["properties"]["pages_moved"]) > 0, ran.document["properties"]


@pytest.mark.boots
@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_lists_of_many_pages_are_predicted_too(kexec_load: Callable[..., Ran], arch: str) -> None:
    ran = kexec_load("--arch", arch, "--trace", "all", "--calls", "0")
    assert ran.document["verdict"] == "PASS", ran.summary()
    exact = [c for c in ran.document["checks"] if "predicted" in c["name"]]
    lists = [c for c in ran.document["checks"] if c["name"] == "page lists are well formed"]
    assert len(exact) == len(lists)
    # Each word of each list, and the control pages.
    assert sum(c["compared"] for c in exact) > sum(c["compared"] for c in lists) > 3000


@pytest.mark.boots
@pytest.mark.parametrize("kernel, check", [("6.1", ""), ("6.12", "no-control-page 2")])
def test_the_jump_back_helpers_segment(
    kexec_load: Callable[..., Ran], kernel: str, check: str
) -> None:
    """Kernels whose destination ranges end inclusively refuse it (docs/kexec-load.md)."""
    ran = kexec_load("--kernel", kernel, "--calls", "0")
    assert ran.document["verdict"] == "PASS", ran.summary()
    details = [c["detail"] for c in ran.document["checks"] if c["oracle"] == "kexec-errno"]
    assert ("no-control-page" in details[0]) == bool(check) and check in details[0]


@pytest.mark.boots
def test_a_kernel_that_builds_its_list_wrong_is_found(kexec_load: Callable[..., Ran]) -> None:
    """A real kernel with an off-by-one in kimage_add_entry()."""
    ran = kexec_load("--kernel", "7.2+link-overwrites-last-entry", "--calls", "0")
    assert ran.document["verdict"] == "FAIL", ran.summary()
    first = ran.findings[0]
    assert first["oracle"] == "page-list" and first["stage"] == "load one entry more"
    assert "link" in first["message"] and "list page 0, word 510" in first["owner"]
    # What the lost entries name is never freed.
    assert any("stay reserved" in finding["message"] for finding in ran.findings)


@pytest.mark.boots
@pytest.mark.parametrize("arch", ["x86_64", "i386"])
@pytest.mark.parametrize("name", KEXEC_TAMPERS)
def test_tamper_is_found_and_blamed(kexec_load: Callable[..., Ran], name: str, arch: str) -> None:
    tamper = KEXEC_TAMPERS[name]
    ran = kexec_load("--tamper", name, "--arch", arch, "--calls", "40")
    assert ran.document["properties"].get("tampered"), "nothing was done"
    assert ran.document["verdict"] == "FAIL" and ran.exit == 1, ran.summary()
    first = ran.findings[0]
    assert (first["oracle"], first["stage"]) == (tamper.oracle, tamper.stage), ran.summary()
    failed = [check["name"] for check in ran.document["checks"] if not check["passed"]]
    assert failed[0].startswith(tamper.check), failed
    assert "--tamper" in ran.document["command"] and "--seed" in ran.document["command"]


@pytest.mark.boots
@pytest.mark.parametrize(
    "name", ["list-source", "list-destination", "list-cycle", "refused-change"]
)
def test_the_changed_word_is_named(kexec_load: Callable[..., Ran], name: str) -> None:
    ran = kexec_load("--tamper", name, "--calls", "0")
    place = ran.document["properties"]["tampered"].split(":")[0].removeprefix("word at GPA ")
    first = ran.findings[0]
    named = f"{first['gpa']:#x}" == place or f"at GPA {place}" in first["message"]
    assert named, (place, first)


@pytest.mark.boots
def test_a_flipped_bit_is_named_exactly(kexec_load: Callable[..., Ran]) -> None:
    ran = kexec_load("--tamper", "source-byte", "--calls", "0")
    (finding,) = ran.findings
    assert f"GPA {finding['gpa']:#x}" in ran.document["properties"]["tampered"]
    assert finding["differing_bytes"] == 1
    expected, found = bytes.fromhex(finding["expected"]), bytes.fromhex(finding["found"])
    assert expected[0] ^ found[0] == 1 and expected[1:] == found[1:]


# Without a boot


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
        ("load array=cut@33", "32 at most"),
        ("load array=p1", "array is null"),
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
