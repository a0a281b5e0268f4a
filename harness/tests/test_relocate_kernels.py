# SPDX-License-Identifier: GPL-2.0-or-later
"""`jumpback relocate-check` on built kernels: as shipped, broken on purpose, and built broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jumpback_relocate as jr
import pytest

from harness.errors import UsageError
from harness.paths import TREE
from harness.relocate import cases, mutants
from harness.relocate.subject import Subject, find
from harness.verdict import Verdict
from kernel import list_kernels
from kernel.selection import State

pytestmark = [pytest.mark.kernels, pytest.mark.timeout(300)]

# A failure names the seed and the case; JUMPBACK_TEST_SEED tries others.
SEED = int(os.environ.get("JUMPBACK_TEST_SEED", "20080711"))

# Each version as Debian ships it, and its known defects; our series mends all of them.
SHIPPED = [
    ("5.10", "x86_64", {"B5", "B7"}),
    ("6.1", "x86_64", {"B5", "B7"}),
    ("6.1", "i386", {"D1", "D3"}),
    ("6.12", "x86_64", {"B5"}),
    ("7.2", "x86_64", set()),
    ("7.3", "x86_64", set()),
]
# What each fault, built into a kernel, must be likened to. Where it must be seen first is the same
# as for the break of this name; wrong-swap-page has none.
BUILT_BROKEN = {
    "7.2+gdt-not-restored": "B7",
    "6.12+gdt-not-restored": "B7",
    "7.2+callee-stack-past-swap-page": "B5",
    "7.2+preserve-flag-lost": "B8",
    "7.2+wrong-swap-page": "B8",
    "7.2+no-zero-word": "B6",
    "7.2+swap-becomes-copy": None,
    "7.2+last-indirection-entry-dropped": None,
}
PLACES = {fault["name"]: (fault["stop"], fault["items"]) for fault in jr.breaks()}
PLACES["wrong-swap-page"] = ("P1", ["fault"])


@cache
def subject(version: str, arch: str = "x86_64") -> Subject:
    for listed in list_kernels():
        if (listed.version, listed.arch, listed.state) == (version, arch, State.BUILT):
            return find(version, arch)
    pytest.skip(f"{version} {arch} is not built: jumpback kernel build {version} --arch {arch}")


def check(kernel: Subject, count: int = 1500, name: str = "", **more: Any) -> cases.Checked:
    return cases.run(kernel, cases.Plan(count, SEED, jr.MOST_PAGES, True, name, **more))


@pytest.mark.parametrize(("version", "arch", "defects"), SHIPPED)
def test_kernels_as_shipped_have_their_known_defects_and_no_other(
    version: str, arch: str, defects: set[str]
) -> None:
    checked = check(subject(f"{version}-stock", arch))
    assert checked.verdict is (Verdict.XFAIL if defects else Verdict.PASS), checked.reason
    shown = {defect["id"] for defect in checked.tally["defects"] if defect["shown"]}
    assert shown == defects
    for defect in checked.tally["defects"]:
        assert (TREE / defect["page"]).is_file(), f"{defect['id']} has no page {defect['page']}"
    assert checked.tally["came_back"] > 500
    assert checked.tally["most_list_pages"] > 1


@pytest.mark.parametrize(("version", "arch"), [row[:2] for row in SHIPPED])
def test_our_series_mends_all_of_them(version: str, arch: str) -> None:
    checked = check(subject(version, arch))
    assert checked.verdict is Verdict.PASS, checked.reason
    assert checked.tally["defects"] == []
    assert checked.tally["came_back"] > 500


@pytest.mark.parametrize("fault", jr.breaks(), ids=lambda fault: str(fault["name"]))
@pytest.mark.parametrize(
    ("version", "arch"),
    [("7.2", "x86_64"), ("6.1-stock", "x86_64"), ("6.1", "x86_64"), ("6.1", "i386")],
)
def test_a_break_is_caught_and_blamed_in_the_right_place(
    fault: jr.Break, version: str, arch: str
) -> None:
    kernel = subject(version, arch)
    without = {"preserve-flag-lost"}
    if version == "6.1-stock":
        without.add("gdt-not-restored")
    if arch == "i386":
        without.add("cache-flush-lost")
    if version != "7.2" and fault["name"] in without:
        with pytest.raises(UsageError, match=fault["name"]):
            check(kernel, name=fault["name"])
        return
    checked = check(kernel, name=fault["name"])
    assert checked.verdict is Verdict.FAIL
    assert checked.blamed, [failure["findings"][0] for failure in checked.tally["failures"]]
    assert checked.changed
    (_, shown), *_ = checked.shown
    assert shown["failed"] and shown["shrunk"] is not None
    # Nothing is left in the smallest case that the fault does not need: 511 or 1023 words fill a
    # list page.
    assert shown["shrunk"]["pages"] <= (12 if "indirection" in fault["name"] else 1)
    assert cases.news(shown["shrunk"]["findings"])[0]["stop"] == fault["stop"]


@pytest.mark.parametrize("name", BUILT_BROKEN)
def test_a_kernel_built_with_the_fault_is_caught_and_blamed(name: str) -> None:
    stop, items = PLACES[name.split("+")[1]]
    like = BUILT_BROKEN[name]
    checked = check(subject(name), 3000)
    assert checked.verdict is Verdict.FAIL
    firsts = [cases.news(failure["findings"])[0] for failure in checked.tally["failures"]]
    for first in firsts:
        assert first["stop"] == stop and first["item"] in items, first
    if like is not None:
        # All but chained lists, where pages of several moves may look like anything.
        likened = [each["resembles"] for each in firsts if each["resembles"] is not None]
        assert {defect["id"] for defect in likened} == {like}
        assert len(likened) > 0.8 * len(firsts)
    explanation = checked.shown[0][1]["explanation"]
    assert explanation["blame"] and explanation["trace"]


@pytest.mark.parametrize(
    ("name", "where"),
    [("7.2+wrong-swap-page", "rep movs"), ("7.2+swap-becomes-copy", "rep movs")],
)
def test_the_trace_shows_the_copy_that_went_wrong(name: str, where: str) -> None:
    explanation = check(subject(name), 100).shown[0][1]["explanation"]
    lines = [line for line in explanation["trace"] if where in line["text"]]
    assert lines and all(line["place"].startswith("swap_pages") for line in lines)


@pytest.mark.parametrize(
    ("name", "arch", "back"),
    [
        ("6.1+gdt-not-restored", "x86_64", "B7"),
        ("6.1+gdt-not-restored", "i386", "D1"),
        ("6.1+callee-stack-past-swap-page", "x86_64", "B5"),
        ("6.1+callee-stack-past-swap-page", "i386", "D3"),
    ],
)
def test_a_known_defect_is_a_failure_where_our_series_mends_it(
    name: str, arch: str, back: str
) -> None:
    checked = check(subject(name, arch))
    assert checked.verdict is Verdict.FAIL
    assert checked.reason.startswith(f"this kernel's patches mend it, and it shows: {back} (docs/")
    (defect,) = checked.tally["defects"]
    assert defect["id"] == back and defect["shown"] == defect["could_show"] > 500


def test_a_fault_outside_relocate_kernel_is_not_blamed_on_it() -> None:
    assert check(subject("7.2+link-overwrites-last-entry")).verdict is Verdict.PASS


def test_the_same_seed_makes_the_same_cases() -> None:
    kernel = subject("7.2")
    first, second = check(kernel, 300), check(kernel, 300)
    assert first.tally == second.tally
    one = cases.run(kernel, cases.Plan(1, SEED, jr.MOST_PAGES, case=37))
    whole = check(kernel, 38)
    assert one.tally["pages"] <= whole.tally["pages"]
    assert one.shown[0][0] == 37 and not one.shown[0][1]["failed"]


def test_known_defects_are_asked_of_the_kernels_that_have_them_only(tmp_path: Path) -> None:
    """A user's own 6.1 whose defects do not show is no XPASS."""
    copy = tmp_path / "vmlinux"
    copy.write_bytes(subject("6.1").vmlinux.read_bytes())
    own = find(str(copy), "x86_64")
    assert not own.catalogued and not own.fixed
    assert check(own, 200).verdict is Verdict.PASS


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_vmlinux_cut_short_is_named(tmp_path: Path, share: float) -> None:
    whole = subject("6.1").vmlinux.read_bytes()
    cut = tmp_path / "vmlinux"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UsageError, match=str(cut)):
        find(str(cut), "x86_64")


def test_a_stripped_vmlinux_is_named(tmp_path: Path) -> None:
    stripped = tmp_path / "vmlinux"
    subprocess.run(["strip", "-o", stripped, subject("6.1").vmlinux], check=True)
    with pytest.raises(UsageError, match="symbol"):
        find(str(stripped), "x86_64")


def test_mutants_are_caught_or_explained() -> None:
    ran = mutants.run(subject("7.2"), 20, SEED)
    assert [result["mutant"] for result in ran.results] == list(range(20))
    assert len(ran.caught) >= 10
    assert all(result["why"] for result in ran.results)
    assert ran.executed > 0.9 * ran.instructions


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "relocate-check", *words],
        cwd=TREE,
        capture_output=True,
        text=True,
    )


def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    vmlinux = str(subject("7.2").vmlinux)
    good = run(vmlinux, "--cases", "200", "--seed", "5", "--json")
    assert good.returncode == 0, good.stderr
    told = json.loads(good.stdout)
    assert told["schema"] == "jumpback.relocate/1"
    assert (told["verdict"], told["tally"]["cases"], told["seed"]) == ("PASS", 200, 5)
    bad = run(vmlinux, "--cases", "200", "--seed", "5", "--break", "swap-becomes-copy")
    assert bad.returncode == 1
    again = next(line for line in bad.stdout.splitlines() if line.strip().startswith("again: "))
    repeated = run(*again.split("relocate-check ", 1)[1].split())
    assert repeated.returncode == 1 and "P1 source of move" in repeated.stdout
    for wanted in ("expected ", "found ", "swap_pages", "SOURCE ", "\nevery failure is seen first"):
        assert wanted in bad.stdout
    random = run(vmlinux, "--cases", "10")
    assert random.returncode == 0 and "of seed " in random.stdout


def test_strict_and_bisect_make_a_known_defect_bad() -> None:
    vmlinux = str(subject("6.1-stock").vmlinux)
    assert run(vmlinux, "--cases", "100", "--seed", "5").returncode == 0
    assert run(vmlinux, "--cases", "100", "--seed", "5", "--strict").returncode == 1
    assert (
        run(vmlinux, "--cases", "100", "--seed", "5", "--exit-style", "kselftest").returncode == 2
    )
    style = ("--strict", "--exit-style", "bisect")
    assert run(vmlinux, "--cases", "100", "--seed", "5", *style).returncode == 1


def test_ctrl_c_ends_it_cleanly() -> None:
    words = [sys.executable, "-m", "harness", "relocate-check", str(subject("7.2").vmlinux)]
    with subprocess.Popen(
        [*words, "--cases", "100000000"],
        cwd=TREE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Children of a background job inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stderr is not None
            assert "cases of" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert out == "" and "interrupted" in err and "Traceback" not in err


def test_a_reader_that_goes_away_does_not_change_the_verdict() -> None:
    words = [sys.executable, "-m", "harness", "relocate-check", str(subject("7.2").vmlinux)]
    for more, code in ((["--cases", "100"], 0), (["--break", "swap-becomes-copy"], 1)):
        with subprocess.Popen(
            [*words, "--seed", "5", "--quiet", *more],
            cwd=TREE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(60) == code


def test_a_break_that_nothing_can_show_is_told() -> None:
    vmlinux = str(subject("7.2").vmlinux)
    ran = run(vmlinux, "--break", "swap-becomes-copy", "--pages", "0", "--cases", "50")
    assert ran.returncode == 3
    assert "XPASS: swap-becomes-copy was not noticed" in ran.stdout
