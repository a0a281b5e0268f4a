# SPDX-License-Identifier: GPL-2.0-or-later
"""`jumpback sequence-check` on the kernels of the catalogue, and on copies with one call changed.

Nothing is built here: a kernel that is not there is skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jumpback_jump as jj
import jumpback_sequence as js
import jumpback_vm
import pytest

import kernel
from harness.paths import TREE

pytestmark = [pytest.mark.kernels, pytest.mark.timeout(300)]

KERNELS = [
    ("6.1", "x86_64"),
    ("6.1", "i386"),
    ("6.1-stock", "x86_64"),
    ("6.1-stock", "i386"),
    ("5.10", "x86_64"),
    ("5.10-stock", "x86_64"),
    ("6.12-stock", "x86_64"),
    ("6.12", "x86_64"),
    ("7.2", "x86_64"),
    ("7.3", "x86_64"),
]
LABEL = "jump, suspend-devices fails"


@pytest.fixture(scope="module")
def built() -> dict[tuple[str, str], Path]:
    rows = kernel.list_kernels()
    done = [row for row in rows if row.state is kernel.State.BUILT and row.folder is not None]
    return {(row.version, row.arch): Path(str(row.folder)) / "vmlinux" for row in done}


def vmlinux(built: dict[tuple[str, str], Path], name: str, arch: str = "x86_64") -> Path:
    if (name, arch) not in built:
        pytest.skip(f"{name} ({arch}) is not built: jumpback kernel build {name} --arch {arch}")
    return built[name, arch]


def report(name: str, arch: str, *words: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "harness", "sequence-check", name, "--arch", arch, "--json"]
    done = subprocess.run([*command, *words], cwd=TREE, capture_output=True, text=True)
    loaded = json.loads(done.stdout)
    assert isinstance(loaded, dict)
    return done.returncode, loaded


def failed(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{one['function']}, {one['scenario']}": one
        for one in found["runs"]
        if one["verdict"] != "PASS"
    }


@pytest.mark.parametrize(("name", "arch"), KERNELS)
def test_every_version(built: dict[tuple[str, str], Path], name: str, arch: str) -> None:
    """All scenarios as a correct kernel, but for the unwinding bug where it is not fixed yet: our
    series fixes it where mainline has not."""
    vmlinux(built, name, arch)
    code, found = report(name, arch)
    assert code == 0
    assert found["kernel"]["arch"] == arch
    version, _, flavour = name.partition("-")
    assert found["kernel"]["release"].startswith(version + ".")
    assert len(found["runs"]) == 11
    has_bug = flavour == "stock" and jj.Kernel(version).version in ("5.10", "6.1", "6.12")
    assert found["verdict"] == ("XFAIL" if has_bug else "PASS")
    assert set(failed(found)) == ({f"kernel_kexec, {LABEL}"} if has_bug else set())
    code, found = report(name, arch, "--strict", "--exit-style", "bisect")
    assert code == (1 if has_bug else 0)
    for one in failed(found).values():
        assert one["text"].startswith("this is the 2008-2025 unwinding bug (B4): ")
        assert "fixed by 996afb6efd1a (6.17, 6.16.y)" in one["text"]
        assert one["undone"] == ["devices stay suspended: dpm_resume_end never ran"]


def test_the_unwinding_bug_put_back(built: dict[tuple[str, str], Path]) -> None:
    vmlinux(built, "7.2+unwinding-label")
    code, found = report("7.2+unwinding-label", "x86_64")
    assert (code, found["verdict"]) == (1, "FAIL")
    bad = failed(found)
    assert list(bad) == [f"kernel_kexec, {LABEL}"]
    text = bad[f"kernel_kexec, {LABEL}"]["text"]
    assert text.startswith("this is the 2008-2025 unwinding bug (B4): ")
    assert text.endswith("fixed by 996afb6efd1a (6.17, 6.16.y); 7.2 should not have it")


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_a_known_fault_is_a_failure_where_our_series_fixes_it(
    built: dict[tuple[str, str], Path], arch: str
) -> None:
    vmlinux(built, "6.1+unwinding-label", arch)
    code, found = report("6.1+unwinding-label", arch)
    assert (code, found["verdict"]) == (1, "FAIL")
    assert list(failed(found)) == [f"kernel_kexec, {LABEL}"]


def test_the_deadlock_put_back(built: dict[tuple[str, str], Path]) -> None:
    vmlinux(built, "7.2+deadlock")
    code, found = report("7.2+deadlock", "x86_64")
    assert (code, found["verdict"]) == (1, "FAIL")
    bad = failed(found)
    # Wherever the preserved branch is entered.
    wanted = ["jump", *(f"jump, {step} fails" for step in ("freeze-processes", "suspend-devices"))]
    wanted += [f"jump, {step} fails" for step in ("suspend-devices-late", "disable-cpus")]
    assert set(bad) == {f"kernel_kexec, {one}" for one in [*wanted, "jump, suspend-syscore fails"]}
    for one in bad.values():
        assert one["text"].startswith("this is the 2018-2021 deadlock (B3): ")
        assert "fixed by 56c91a18432b" in one["text"]


def test_interrupts_not_handed_over(built: dict[tuple[str, str], Path]) -> None:
    vmlinux(built, "7.2+legacy-apic-not-restored")
    code, found = report("7.2+legacy-apic-not-restored", "x86_64")
    assert (code, found["verdict"]) == (1, "FAIL")
    bad = failed(found)
    assert list(bad) == ["machine_kexec, jump"]
    one = bad["machine_kexec, jump"]
    assert one["divergence"]["expected"] == "clear-io-apic (clear_IO_APIC)"
    assert "no timer interrupt (B1)" in one["text"]


def test_faults_outside_the_sequence_are_none_of_it(built: dict[tuple[str, str], Path]) -> None:
    """What is wrong inside relocate_kernel is relocate-check's; one kernel for all of them."""
    vmlinux(built, "7.2+preserve-flag-lost")
    code, found = report("7.2+preserve-flag-lost", "x86_64")
    assert (code, found["verdict"], failed(found)) == (0, "PASS", {})


# Red twins: the real bytes, with one thing changed.


def sites(runs: list[js.Run]) -> dict[str, list[int]]:
    """Where the calls of each step are: the addresses behind them."""
    out: dict[str, set[int]] = {}
    for run in runs:
        for call in run.calls:
            if call.step is not None:
                out.setdefault(call.step, set()).add(call.site)
    return {step: sorted(places) for step, places in out.items()}


def direct(path: Path, site: int) -> bytes:
    """The 5 bytes of the call before ``site``: e8 and a distance."""
    code = bytes(jumpback_vm.Vmlinux(str(path)).read(site - 5, 5))
    assert code[0] == 0xE8
    return code


def exchanged(path: Path, one: int, other: int) -> list[tuple[int, bytes]]:
    """Two calls, each of the other's function."""
    targets = [
        at + int.from_bytes(direct(path, at)[1:], "little", signed=True) for at in (one, other)
    ]
    return [
        (at - 4, (target - at).to_bytes(4, "little", signed=True))
        for at, target in zip((other, one), targets)
    ]


def judge_all(found: js.Sequence) -> dict[str, jj.Judgement]:
    out = {
        str(scenario): jj.judge(found.kernel, scenario, found.run(scenario).trace)
        for scenario in found.scenarios
    }
    for branch in ("jump", "plain"):
        out[f"machine_kexec, {branch}"] = jj.judge_machine(
            found.kernel, branch, found.run_machine(branch).trace
        )
    return out


@pytest.mark.parametrize(("name", "arch"), KERNELS)
def test_steps_out_of_order(built: dict[tuple[str, str], Path], name: str, arch: str) -> None:
    path = vmlinux(built, name, arch)
    good = js.Sequence(path)
    jump = sites([good.run()])
    machine = sites([good.run_machine()])

    twin = js.Sequence(
        path, exchanged(path, jump["suspend-consoles"][0], jump["suspend-devices"][0])
    )
    divergence = judge_all(twin)["jump"].divergence
    assert divergence is not None
    assert divergence.kind == "out-of-order"
    assert divergence.expected.startswith("suspend-consoles (")
    assert divergence.found == "suspend-devices (dpm_suspend_start)"

    twin = js.Sequence(
        path, exchanged(path, machine["clear-io-apic"][0], machine["restore-boot-irq-mode"][0])
    )
    judged = judge_all(twin)
    assert all(
        one.outcome == judge_all(good)[title].outcome
        for title, one in judged.items()
        if title != "machine_kexec, jump"
    )
    divergence = judged["machine_kexec, jump"].divergence
    assert divergence is not None
    assert divergence.kind == "out-of-order"
    assert divergence.expected == "clear-io-apic (clear_IO_APIC)"
    assert divergence.found == "restore-boot-irq-mode (restore_boot_irq_mode)"


@pytest.mark.parametrize(("name", "arch"), KERNELS)
def test_every_call_is_missed(built: dict[tuple[str, str], Path], name: str, arch: str) -> None:
    """Each call of a step becomes five nops: some scenario shows it, and none passes for it."""
    path = vmlinux(built, name, arch)
    good = js.Sequence(path)
    usual = {title: one.outcome for title, one in judge_all(good).items()}
    runs = [good.run(scenario) for scenario in good.scenarios]
    runs += [good.run_machine(branch) for branch in ("jump", "plain")]
    count = 0
    for step, places in sites(runs).items():
        for site in places:
            if step == "relocate-kernel":
                continue  # through a pointer
            direct(path, site)
            judged = judge_all(js.Sequence(path, [(site - 5, b"\x0f\x1f\x44\x00\x00")]))
            worse = [
                one
                for title, one in judged.items()
                if one.outcome != "match" and usual[title] == "match"
            ]
            assert worse, f"{step} before {site:#x}"
            seen = {one.divergence.expected.split(" ")[0] for one in worse if one.divergence}
            assert step in seen, f"{step} before {site:#x}: {seen}"
            count += 1
    print(f"{name} {arch}: {count} calls")
    assert count >= 20
