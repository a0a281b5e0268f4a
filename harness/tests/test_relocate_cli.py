# SPDX-License-Identifier: GPL-2.0-or-later
"""`jumpback relocate-check` without a kernel: wrong usage, bad files, how results are judged."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import jumpback_relocate as jr
import pytest

from harness.paths import TREE
from harness.relocate import cases, text
from harness.relocate.mutants import MutationRun
from harness.relocate.subject import Subject
from harness.verdict import Verdict

pytestmark = pytest.mark.timeout(60)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "relocate-check", *map(str, words)],
        cwd=TREE,
        capture_output=True,
        text=True,
    )


def test_help_names_the_options() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for option in ("--cases", "--seed", "--pages", "--one-way", "--break", "--mutants", "--strict"):
        assert option in shown.stdout


def test_breaks_are_listed_with_the_place_where_they_must_be_seen() -> None:
    shown = run("--list-breaks")
    assert shown.returncode == 0
    for name in (
        "swap-becomes-copy",
        "swap-page-as-source",
        "last-indirection-entry-dropped",
        "gdt-not-restored",
        "callee-stack-past-swap-page",
        "preserve-flag-lost",
        "no-zero-word",
    ):
        assert f"{name}: " in shown.stdout
    assert shown.stdout.count("must be seen at P") == len(jr.breaks())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "VMLINUX"),
        (["6.1", "--cases", "0"], "--cases"),
        (["6.1", "--pages", "5000"], "--pages"),
        (["6.1", "--mutants", "5", "--break", "no-zero-word"], "--mutants"),
        (["6.1", "--mutants", "5", "--one-way"], "--one-way"),
        (["6.1", "--mutants", "5", "--strict"], "--strict"),
        (["6.1", "--case", "5"], "--seed"),
        (["6.1", "--seed", "1", "--case", str(2**64 - 1)], "--case"),
        (["6.1", "--break", "nonsense", "--exit-style", "bisect"], "no-zero-word"),
        (["/nowhere/vmlinux"], "/nowhere/vmlinux: there is no such file or folder"),
        (["6.1", "--arch", "arm64"], "arm64"),
    ],
)
def test_wrong_usage_says_what_is_wrong(words: list[str], said: str) -> None:
    ran = run(*words)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def elf(machine: int, sections: int = 0) -> bytes:
    """A header of ELF64 and no more; its section table would stand behind the end."""
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    offset = 0xFFFFFFFFFFFF0000 if sections else 0
    return identity + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, 0, 0, offset, 0, 64, 0, 0, 64, sections, 0
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "vmlinux"),
        (b"#!/bin/sh\n", "ELF"),
        (elf(62)[:40], "ELF"),
        (elf(183), "machine"),
        (elf(62), "no loadable segment"),
        (elf(62, sections=9), "vmlinux"),
        (os.urandom(4096), "ELF"),
    ],
    ids=["empty", "script", "cut", "arm64", "no-symbols", "hostile-offset", "noise"],
)
def test_a_bad_file_is_named_with_what_is_missing(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "vmlinux").write_bytes(content)
    ran = run(tmp_path / "vmlinux")
    assert ran.returncode == 2
    assert str(tmp_path / "vmlinux") in ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_folder_without_vmlinux_is_named(tmp_path: Path) -> None:
    ran = run(tmp_path)
    assert ran.returncode == 2
    assert f"{tmp_path}: has no vmlinux" in ran.stderr
    # git bisect would take a 2 for "bad".
    assert run(tmp_path, "--exit-style", "bisect").returncode == 125


def finding(stop: str = "P1", item: str = "source", known: jr.Defect | None = None) -> jr.Finding:
    return {
        "stop": stop,
        "kind": "register",
        "item": item,
        "place": item,
        "note": "",
        "known": known,
        "resembles": None,
        "text": f"{stop} {item}",
        "expected": 1,
        "found": 2,
    }


def shown_defect(shown: int) -> jr.ShownDefect:
    return {
        "id": "B7",
        "alias": "D4",
        "summary": "the GDT is not loaded",
        "fix": "07fa619f2a40",
        "page": "docs/findings/gdt-not-reloaded.md",
        "could_show": 5,
        "shown": shown,
    }


def tally(**changes: Any) -> jr.Tally:
    made: jr.Tally = {
        "cases": 10,
        "clean": 5,
        "known": 5,
        "failed": 0,
        "pages": 20,
        "came_back": 5,
        "most_pages": 4,
        "most_list_pages": 1,
        "lists": {"raw": 10},
        "callees": {"plain ret": 5},
        "defects": [],
        "rules": [],
        "failures": [],
        "examples": [],
    }
    made.update(changes)  # type: ignore[typeddict-item]
    return made


@pytest.mark.parametrize(
    ("found", "strict", "catalogued", "fixed", "verdict"),
    [
        (tally(), False, True, "", Verdict.PASS),
        (tally(defects=[shown_defect(5)]), False, True, "", Verdict.XFAIL),
        (tally(defects=[shown_defect(5)]), False, True, "another", Verdict.XFAIL),
        (tally(defects=[shown_defect(5)]), False, True, "gdt-not-reloaded", Verdict.FAIL),
        (tally(defects=[shown_defect(5)]), True, True, "", Verdict.FAIL),
        (tally(defects=[shown_defect(0)]), False, True, "", Verdict.XPASS),
        (tally(defects=[shown_defect(0)]), False, True, "another", Verdict.XPASS),
        (tally(defects=[shown_defect(0)]), False, True, "gdt-not-reloaded", Verdict.PASS),
        (tally(defects=[shown_defect(0)]), False, False, "", Verdict.PASS),
        (
            tally(failed=1, failures=[{"case": 3, "findings": [finding()]}]),
            False,
            True,
            "",
            Verdict.FAIL,
        ),
    ],
)
def test_verdict(
    found: jr.Tally, strict: bool, catalogued: bool, fixed: str, verdict: Verdict
) -> None:
    judged, reason = cases.judge(
        found, strict=strict, catalogued=catalogued, fixed=frozenset({fixed})
    )
    assert judged is verdict
    assert reason


def test_a_failure_is_named_by_what_no_known_defect_explains() -> None:
    known = finding("P1", "rsp", known=shown_defect(1))
    failed = tally(failed=1, failures=[{"case": 3, "findings": [known, finding("P3", "rax")]}])
    _, reason = cases.judge(failed, strict=False, catalogued=False)
    assert reason == "case 3: P3 rax"


class FakeTarget:
    release, arch, generation, code_bytes, notes = "6.1.0", "i386", "6.1", 300, ["odd"]


def subject(name: str = "6.1") -> Subject:
    target: Any = FakeTarget()
    return Subject(name, Path("vmlinux"), "i386", True, target)


def test_the_command_that_repeats_a_case_has_all_that_the_case_depends_on() -> None:
    plan = cases.Plan(100, 7, 16, both_ways=False, break_name="no-zero-word")
    assert text.command(subject(), plan, 42) == (
        "jumpback relocate-check 6.1 --arch i386 --seed 7 --pages 16 --one-way "
        "--break no-zero-word --case 42"
    )
    plan = cases.Plan(100, 7, jr.MOST_PAGES)
    assert text.command(subject("./a tree"), plan, 0) == (
        "jumpback relocate-check './a tree' --seed 7 --case 0"
    )


def mutant(fate: str, caught: bool, explained: bool = True) -> jr.MutantResult:
    return {
        "mutant": 1,
        "kind": "taken out",
        "place": "swap_pages+0x3",
        "was": "mov eax, 1",
        "becomes": "nop",
        "fate": fate,
        "caught": caught,
        "executed": fate != "never executed",
        "explained": explained,
        "why": "because",
    }


def test_a_mutant_that_nobody_can_explain_fails_the_run() -> None:
    caught, dead = mutant("caught", True), mutant("never executed", False)
    good = MutationRun(subject(), 1, 60, 100, 99, [caught, caught, dead])
    assert good.verdict is Verdict.PASS
    shown = "\n".join(text.render_mutants(good))
    assert "caught: 2 of 3 (66.7 %)" in shown and "of the 2 in code that runs: 100.0 %" in shown
    assert "swap_pages+0x3: mov eax, 1 -> nop" in shown and "never executed: because" in shown
    bad = MutationRun(subject(), 1, 60, 100, 99, [caught, mutant("unexplained", False, False)])
    assert bad.verdict is Verdict.FAIL
