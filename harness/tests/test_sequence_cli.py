# SPDX-License-Identifier: GPL-2.0-or-later
"""`jumpback sequence-check` on files: kernels in miniature, right and wrong, and other files."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.sequence import overall
from harness.paths import TREE
from harness.verdict import Verdict

pytestmark = pytest.mark.timeout(120)

SOURCE = TREE / "vm" / "sequence" / "tests" / "mini_kernel.c"
FLAGS = [
    *("-m64", "-mcmodel=kernel", "-mno-red-zone", "-O2", "-ffreestanding", "-fno-pie", "-no-pie"),
    *("-fcf-protection=none", "-fno-stack-protector", "-fno-asynchronous-unwind-tables"),
    *("-nostdlib", "-static", "-Wl,--build-id=none,-e,kernel_kexec,-z,noseparate-code"),
    "-Wl,-Ttext=0xffffffff81000000,-z,max-page-size=4096",
]


def mini(folder: Path, *defines: str, release: str = "6.1.0-mini") -> Path:
    out = folder / "vmlinux"
    words = [f'-DMINI_RELEASE="{release}"', *(f"-D{define}" for define in defines)]
    subprocess.run(["gcc", *FLAGS, *words, "-o", str(out), str(SOURCE)], check=True)
    return out


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "sequence-check", *map(str, words)],
        cwd=TREE,
        capture_output=True,
        text=True,
    )


def report(*words: str | Path) -> dict[str, Any]:
    done = run(*words, "--json")
    assert not done.stderr
    loaded = json.loads(done.stdout)
    assert isinstance(loaded, dict)
    return loaded


def runs_of_kernel_kexec(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["scenario"]: one for one in found["runs"] if one["function"] == "kernel_kexec"}


# machine_kexec() of a miniature does nothing, so its two runs fail: what is looked at is above it.


def test_a_correct_kernel(tmp_path: Path) -> None:
    found = report(mini(tmp_path))
    runs = runs_of_kernel_kexec(found)
    assert found["schema"] == "jumpback.sequence/1"
    assert found["kernel"]["release"] == "6.1.0-mini"
    assert found["kernel"]["preserve_context"] == {"byte": 21 * 8, "bit": 1}
    assert len(runs) == 9
    assert {one["verdict"] for one in runs.values()} == {"PASS"}
    assert runs["jump"]["found"] == runs["jump"]["expected"]
    # An empty machine_kexec() passes for nothing.
    assert found["verdict"] == "FAIL" and found["reason"].startswith("machine_kexec, jump: ")


def test_the_unwinding_bug_is_told_by_name(tmp_path: Path) -> None:
    old = mini(tmp_path, "MINI_LABEL")
    one = runs_of_kernel_kexec(report(old))["jump, suspend-devices fails"]
    assert one["verdict"] == "XFAIL"
    assert one["text"].startswith("this is the 2008-2025 unwinding bug (B4): ")
    assert "fixed by 996afb6efd1a (6.17, 6.16.y)" in one["text"]
    assert one["undone"] == ["devices stay suspended: dpm_resume_end never ran"]
    assert [fault["page"] for fault in one["faults"]] == ["docs/findings/unwinding-label.md"]
    shown = run(old)
    assert "* resume-devices (dpm_resume_end)\n" in shown.stdout
    assert "see docs/findings/unwinding-label.md\n" in shown.stdout
    # For a bisection it is a failure, and in a version that has the fix, always.
    strict = runs_of_kernel_kexec(report(old, "--strict"))
    assert strict["jump, suspend-devices fails"]["verdict"] == "FAIL"
    new = mini(tmp_path, "MINI_LABEL", release="7.2.0-mini")
    one = runs_of_kernel_kexec(report(new))["jump, suspend-devices fails"]
    assert one["verdict"] == "FAIL" and one["text"].endswith("7.2 should not have it")


def test_the_deadlock_is_told_by_name(tmp_path: Path) -> None:
    locks = ("mutex_lock(&system_transition_mutex)", "mutex_unlock(&system_transition_mutex)")
    bad = mini(tmp_path, f"MINI_MUTEX={locks[0]}", f"MINI_MUTEX_END={locks[1]}")
    for one in runs_of_kernel_kexec(report(bad)).values():
        inside = one["scenario"] not in ("plain", "jump, take-lock fails", "jump, find-image fails")
        assert one["verdict"] == ("FAIL" if inside else "PASS"), one["scenario"]
        if inside:
            assert one["text"].startswith("this is the 2018-2021 deadlock (B3): ")
            assert "fixed by 56c91a18432b" in one["text"]
            assert "deadlock" in one["broken_rules"][0]


@pytest.mark.parametrize(
    ("define", "stopped"), [("MINI_LOOP", "runs in circles"), ("MINI_TRAP", "an exception")]
)
def test_a_function_that_does_not_come_back(tmp_path: Path, define: str, stopped: str) -> None:
    bad = mini(tmp_path, define)
    one = runs_of_kernel_kexec(report(bad))["jump"]
    assert one["verdict"] == "FAIL"
    assert stopped in one["stopped"] and "kernel_kexec+0x" in one["stopped"]
    assert one["found"]["returned"] is None
    assert one["stopped"] in run(bad).stdout


def test_an_unknown_call_is_named(tmp_path: Path) -> None:
    one = runs_of_kernel_kexec(report(mini(tmp_path, "MINI_STRANGE")))["jump"]
    assert one["divergence"]["kind"] == "unknown-call"
    assert one["divergence"]["found"] == "panic_now()"


def test_a_known_fault_that_does_not_show() -> None:
    """A kernel of the catalogue was fixed, or the check went blind; of others nothing is known."""
    verdict, reason = overall("6.1.192-jumpback", [], catalogued=True)
    assert verdict is Verdict.XPASS
    assert reason.startswith("the 2008-2025 unwinding bug (B4) did not show, though 6.1.192")
    assert overall("6.1.192-jumpback", [], catalogued=False)[0] is Verdict.PASS
    mended = frozenset({"unwinding-label"})
    assert overall("6.1.192-jumpback", [], catalogued=True, fixed=mended)[0] is Verdict.PASS
    other = frozenset({"no-reentry-slot"})
    assert overall("6.1.192-jumpback", [], catalogued=True, fixed=other)[0] is Verdict.XPASS
    assert overall("7.2.13-jumpback", [], catalogued=True)[0] is Verdict.PASS


# Files that cannot be checked: exit 2, one line with the file and what is missing.


def refused(path: Path, *needed: str) -> None:
    done = run(path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert not done.stdout
    assert done.stderr.startswith("jumpback: ") and done.stderr.count("\n") == 1
    for word in (str(path), *needed):
        assert word in done.stderr
    # git bisect would take a 2 for "bad".
    assert run(path, "--exit-style", "bisect").returncode == 125


def changed(path: Path, at: int, value: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


def test_without_symbols(tmp_path: Path) -> None:
    path = mini(tmp_path)
    subprocess.run(["strip", str(path)], check=True)
    refused(path, "symbol")


def test_without_kexec_jump(tmp_path: Path) -> None:
    refused(mini(tmp_path, "MINI_NO_JUMP"), "CONFIG_KEXEC_JUMP")


@pytest.mark.parametrize("share", [0.0, 0.004, 0.3, 0.9])
def test_truncated(tmp_path: Path, share: float) -> None:
    path = mini(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path)


def test_of_another_architecture(tmp_path: Path) -> None:
    refused(changed(mini(tmp_path), 18, struct.pack("<H", 183)), "183")  # e_machine: aarch64


def test_offsets_past_the_end(tmp_path: Path) -> None:
    for at in (32, 40):  # e_phoff, e_shoff
        refused(changed(mini(tmp_path), at, struct.pack("<Q", 1 << 62)))


def test_no_elf_and_no_file(tmp_path: Path) -> None:
    text = tmp_path / "bzImage"
    text.write_bytes(b"\0" * 4096)
    refused(text, "ELF")
    refused(tmp_path / "nothing", "no such file")
    (tmp_path / "tree").mkdir()
    refused(tmp_path / "tree", "vmlinux")


def test_no_such_release(tmp_path: Path) -> None:
    refused(mini(tmp_path, release="six"), "six")
